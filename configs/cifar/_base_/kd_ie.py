"""KD as in the code of IE-KD on CIFAR-10: 0.05 cross-entropy + 0.95 KD."""

_base_ = './kd.py'
method = dict(
    student=dict(head=dict(loss=dict(loss_weight=0.05))),
    distillers=dict(
        logit=dict(losses=dict(loss_kd=dict(tau=20.0, loss_weight=0.95)))
    ),
)

"""KD as the authors of RKD weigh it: cross-entropy + KD, no warm-up."""

_base_ = './kd.py'
method = dict(
    student=dict(head=dict(loss=dict(loss_weight=1.0))),
    distillers=dict(logit=dict(losses=dict(loss_kd=dict(loss_weight=1.0)))),
)

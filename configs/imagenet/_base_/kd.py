"""KD as in mdistiller: 0.5 cross-entropy + 0.5 KD at T = 1, no warm-up."""

_base_ = '../../_base_/distill_classification_runtime.py'
method = dict(
    student=dict(head=dict(loss=dict(loss_weight=0.5))),
    distillers=dict(
        logit=dict(
            type='LogitDistiller',
            losses=dict(loss_kd=dict(type='KDLoss', tau=1.0, loss_weight=0.5)),
        )
    ),
)

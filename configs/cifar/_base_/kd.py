"""KD as in mdistiller and SDD: 0.1 cross-entropy + 0.9 KD, no warm-up."""

_base_ = '../../_base_/distill_classification_runtime.py'
method = dict(
    student=dict(head=dict(loss=dict(loss_weight=0.1))),
    distillers=dict(
        logit=dict(
            type='LogitDistiller',
            losses=dict(loss_kd=dict(type='KDLoss', tau=4.0, loss_weight=0.9)),
        )
    ),
)

"""KD++: ND beside KD at T = 1. A child gives both weights.

As in the ND scripts the weight of KD rises over 5 epochs, from 0 in the
first; that of ND does not.
"""

_base_ = '../../_base_/distill_classification_runtime.py'
method = dict(
    distillers=dict(
        logit=dict(
            type='LogitDistiller',
            losses=dict(
                loss_kd=dict(type='KDLoss', tau=1.0),
                loss_nd=dict(type='NDLoss'),
            ),
        )
    )
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='kd_det.LossScheduleHook',
        schedules=dict(
            logit=dict(loss_kd=dict(type='WarmUp', epochs=5, origin=0))
        ),
    ),
]

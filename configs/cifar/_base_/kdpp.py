"""KD++: ND beside KD. A child gives both weights.

As in the ND scripts the weight of KD rises over 20 epochs, from 0 in the
first; that of ND does not.
"""

_base_ = '../../_base_/distill_classification_runtime.py'
method = dict(
    distillers=dict(
        logit=dict(
            type='LogitDistiller',
            losses=dict(
                loss_kd=dict(type='KDLoss', tau=4.0),
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
            logit=dict(loss_kd=dict(type='WarmUp', epochs=20, origin=0))
        ),
    ),
]

"""DKD++: ND beside DKD, warmed up as in `kdpp.py`. A child gives weights."""

_base_ = '../../_base_/distill_classification_runtime.py'
method = dict(
    distillers=dict(
        logit=dict(
            type='LogitDistiller',
            losses=dict(
                loss_dkd=dict(type='DKDLoss', tau=4.0),
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
            logit=dict(loss_dkd=dict(type='WarmUp', epochs=20, origin=0))
        ),
    ),
]

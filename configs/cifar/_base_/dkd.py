"""DKD as in mdistiller: all of the cross-entropy + DKD, whose weight
rises over 20 epochs, from a twentieth in the first. A child gives beta.
"""

_base_ = '../../_base_/distill_classification_runtime.py'
method = dict(
    distillers=dict(
        logit=dict(
            type='LogitDistiller',
            losses=dict(loss_dkd=dict(type='DKDLoss', alpha=1.0, tau=4.0)),
        )
    )
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='kd_det.LossScheduleHook',
        schedules=dict(
            logit=dict(loss_dkd=dict(type='WarmUp', epochs=20, origin=1))
        ),
    ),
]

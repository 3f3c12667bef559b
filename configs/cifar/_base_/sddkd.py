"""SD-DKD: DKD of regions, see `sdkd.py`. A child gives beta.

The warm-up is that of the code, 20 epochs; the paper says 30.
"""

_base_ = '../../_base_/distill_classification_runtime.py'
method = dict(
    distillers=dict(
        logit=dict(
            type='LogitDistiller',
            via_4x4=True,
            losses=dict(
                loss_sdd=dict(
                    type='SDDLoss',
                    base=dict(type='DKDLoss', alpha=1.0, tau=4.0),
                )
            ),
        )
    )
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='kd_det.LossScheduleHook',
        schedules=dict(
            logit=dict(loss_sdd=dict(type='WarmUp', epochs=20, origin=1))
        ),
    ),
]

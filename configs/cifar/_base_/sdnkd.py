"""SD-NKD: NKD of regions, see `sdkd.py` and `nkd.py`. A child gives gamma.

The code takes temperature and gamma from its settings of DKD, unlike its
NKD. The warm-up is that of the code, 20 epochs; the paper says 30.
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
                    base=dict(type='NKDLoss', tau=4.0, mask_target=False),
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

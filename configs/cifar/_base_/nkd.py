"""NKD as in the code of SDD: gamma 1.5 and temperature 1 everywhere.

That code sums the second term over all classes (see `NKDLoss`), and the
published numbers come from it; `mask_target=True` is the paper's loss.
"""

_base_ = '../../_base_/distill_classification_runtime.py'
method = dict(
    distillers=dict(
        logit=dict(
            type='LogitDistiller',
            losses=dict(
                loss_nkd=dict(
                    type='NKDLoss', gamma=1.5, tau=1.0, mask_target=False
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
            logit=dict(loss_nkd=dict(type='WarmUp', epochs=20, origin=1))
        ),
    ),
]

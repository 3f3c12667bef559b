"""DKD++: ND beside DKD at T = 1. A child gives the weights.

Unlike all their others, the ND scripts for this on ImageNet warm up ND too.
"""

_base_ = './dkd.py'
method = dict(
    distillers=dict(logit=dict(losses=dict(loss_nd=dict(type='NDLoss'))))
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='kd_det.LossScheduleHook',
        schedules=dict(
            logit=dict(
                loss_dkd=dict(type='WarmUp', epochs=5, origin=0),
                loss_nd=dict(type='WarmUp', epochs=5, origin=0),
            )
        ),
    ),
]

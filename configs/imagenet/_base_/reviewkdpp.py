"""ReviewKD++: ND beside ReviewKD, warmed up as in `kdpp.py`. A child gives
the weights.
"""

_base_ = './reviewkd.py'
method = dict(
    distillers=dict(
        logit=dict(
            type='LogitDistiller', losses=dict(loss_nd=dict(type='NDLoss'))
        )
    )
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='kd_det.LossScheduleHook',
        schedules=dict(
            feats=dict(loss_reviewkd=dict(type='WarmUp', epochs=5, origin=0))
        ),
    ),
]

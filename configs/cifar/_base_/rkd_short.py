"""`rkd.py` with a warm-up: its first gradients are far above the task's."""

_base_ = './rkd.py'
warm_up = dict(type='WarmUp', epochs=8, origin=1)
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='kd_det.LossScheduleHook',
        schedules=dict(logit=dict(loss_rkd_d=warm_up, loss_rkd_a=warm_up)),
    ),
]
del warm_up

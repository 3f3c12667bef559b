"""`dml.py` with a warm-up: peers that know nothing have little to teach."""

_base_ = './dml.py'
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='kd_det.LossScheduleHook',
        schedules=dict(
            logit=dict(loss_kd=dict(type='WarmUp', epochs=8, origin=1))
        ),
    ),
]

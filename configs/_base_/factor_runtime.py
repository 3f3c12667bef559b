"""`default_runtime.py` and what factors of a teacher need.

The teacher is checked, its auto-encoder is trained where the file is missing
(stage 1: one epoch), and what the two halves of the student do is logged.
"""

_base_ = './default_runtime.py'
custom_hooks = [
    dict(type='kd_det.TeacherCheckHook'),
    dict(type='kd_det.AutoEncoderHook', epochs=1, lr=0.01),
    dict(type='kd_det.FactorCosineHook'),
    dict(type='kd_det.GradientShareHook'),
    *_base_.custom_hooks,
]

"""`default_runtime.py` with the hooks for teacher factors.

The teacher is checked, its auto-encoder is trained if the file is missing
(stage 1: one epoch), and the similarity of the student's two halves to the
teacher is logged.
"""

_base_ = './default_runtime.py'
custom_hooks = [
    dict(type='kd_det.TeacherCheckHook'),
    dict(type='kd_det.AutoEncoderHook', epochs=1, lr=0.01),
    dict(type='kd_det.FactorCosineHook'),
    dict(type='kd_det.GradientShareHook'),
    *_base_.custom_hooks,
]

"""`classification_runtime.py` and what factors of a teacher need.

The teacher is checked, its auto-encoder is trained where the file is missing
(stage 1), and what the two halves of the student do is logged.
"""

_base_ = './classification_runtime.py'
custom_hooks = [
    dict(
        type='kd_det.TeacherCheckHook',
        num_images=500,
        metric='accuracy/top1',
        floor=30,  # percent
    ),
    dict(type='kd_det.AutoEncoderHook'),
    dict(type='kd_det.FactorCosineHook', interval=20),
    dict(type='kd_det.GradientShareHook'),
    *_base_.custom_hooks,
]

"""`classification_runtime.py` with the hooks for teacher factors.

The teacher is checked, its auto-encoder is trained if the file is missing
(stage 1), and the similarity of the student's two halves to the teacher is
logged.
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

"""`classification_runtime.py` with the hooks of a pair.

The teacher is checked, the class means are computed or checked, embedding
norms are logged, and the gradients of the losses are compared with those of
the task loss.
"""

_base_ = './classification_runtime.py'
custom_hooks = [
    dict(
        type='kd_det.TeacherCheckHook',
        num_images=500,
        metric='accuracy/top1',
        floor=30,  # percent
    ),
    dict(type='kd_det.CentroidHook'),
    dict(type='kd_det.FeatureNormHook'),
    dict(type='kd_det.GradientShareHook'),
    *_base_.custom_hooks,
]

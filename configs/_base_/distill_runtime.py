"""`default_runtime.py` and what a teacher needs: it is checked, the class
means are made or checked, layers are stitched, the norms of the embeddings
are logged, and the gradients of the losses are compared with the task's."""

_base_ = './default_runtime.py'
custom_hooks = [
    dict(type='kd_det.TeacherCheckHook'),
    dict(type='kd_det.CentroidHook'),
    dict(type='kd_det.StitchHook'),
    dict(type='kd_det.FeatureNormHook'),
    dict(type='kd_det.GradientShareHook'),
    *_base_.custom_hooks,
]

"""`default_runtime.py` and what a teacher needs: it is checked, the class
means are made or checked, the norms of the embeddings are logged, the
gradients of the losses are compared with the task's, and layers are stitched
where the student asks for it."""

_base_ = './default_runtime.py'
custom_hooks = [
    dict(type='kd_det.TeacherCheckHook'),
    dict(type='kd_det.CentroidHook'),
    dict(type='kd_det.FeatureNormHook'),
    dict(type='kd_det.GradientShareHook'),
    dict(type='kd_det.StitchHook'),
    *_base_.custom_hooks,
]

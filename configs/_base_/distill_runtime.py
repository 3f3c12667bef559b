"""`default_runtime.py` and what a teacher needs: it is checked, the class
means are made or checked, the norms of the embeddings are logged, and
a loss that drowns the others is told."""

_base_ = './default_runtime.py'
custom_hooks = [
    dict(type='kd_det.TeacherCheckHook'),
    dict(type='kd_det.CentroidHook'),
    dict(type='kd_det.FeatureNormHook'),
    dict(type='kd_det.LossShareHook'),
    *_base_.custom_hooks,
]

"""`default_runtime.py` and what a teacher needs: it is checked, the class
means are made or checked, and the norms of the embeddings are logged."""

_base_ = './default_runtime.py'
custom_hooks = [
    dict(type='kd_det.TeacherCheckHook'),
    dict(type='kd_det.CentroidHook'),
    dict(type='kd_det.FeatureNormHook'),
    *_base_.custom_hooks,
]

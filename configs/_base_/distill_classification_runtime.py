"""`classification_runtime.py` and what a teacher needs: it is checked, the
class means are made or checked, and the norms of the embeddings are logged."""

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
    *_base_.custom_hooks,
]

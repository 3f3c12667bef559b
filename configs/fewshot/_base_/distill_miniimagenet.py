"""`recipe_miniimagenet.py` and what a teacher needs: it is checked, and the
norms of the embeddings are logged."""

_base_ = './recipe_miniimagenet.py'
custom_hooks = [
    dict(
        type='kd_det.TeacherCheckHook',
        num_images=10**6,
        metric='fewshot/accuracy',
        floor=30,  # percent; chance is 20
    ),
    dict(type='kd_det.FeatureNormHook'),
    *_base_.custom_hooks,
]

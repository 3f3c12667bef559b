"""`omniglot_20e.py` and what a teacher needs, as in `student_80e.py`."""

_base_ = './omniglot_20e.py'
custom_hooks = [
    dict(
        type='kd_det.TeacherCheckHook',
        num_images=10**6,
        metric='recall@1',
        floor=20,  # percent
    ),
    dict(type='kd_det.FeatureNormHook'),
    *_base_.custom_hooks,
]

"""slim ResNet-18 (64) -> slim ResNet-18 on Omniglot, without a method."""

_base_ = ['./omniglot.py', './omniglot_20e.py']
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../triplet_resnet18s-64_omniglot.py',
        ckpt='work_dirs/triplet_resnet18s-64_omniglot/epoch_20.pth',
    ),
    # no loss of its own: the labels are not used
    student=dict(cfg='{{ fileDirname }}/resnet18s.py'),
)
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

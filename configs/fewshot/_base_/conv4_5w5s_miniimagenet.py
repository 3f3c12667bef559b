"""Conv4 -> Conv4 on miniImageNet, 5 shots, without a method."""

_base_ = ['./miniimagenet_5w5s.py', './recipe_miniimagenet.py']
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../protonet_conv4_5w5s_miniimagenet.py',
        ckpt='work_dirs/protonet_conv4_5w5s_miniimagenet/epoch_200.pth',
    ),
    student=dict(
        cfg='{{ fileDirname }}/../protonet_conv4_5w5s_miniimagenet.py'
    ),
)
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

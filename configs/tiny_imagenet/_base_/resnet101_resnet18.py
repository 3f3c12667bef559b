"""ResNet-101 -> ResNet-18 on Tiny-ImageNet, without a method."""

_base_ = './recipe.py'
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../baseline_resnet101_tinyimagenet.py',
        ckpt='work_dirs/baseline_resnet101_tinyimagenet/epoch_300.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/../baseline_resnet18_tinyimagenet.py'),
)

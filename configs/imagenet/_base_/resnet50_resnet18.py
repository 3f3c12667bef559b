"""ResNet-50 -> ResNet-18 on ImageNet, without a method."""

_base_ = './recipe.py'
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='mmpretrain::resnet/resnet50_8xb32_in1k.py',
        ckpt='https://mmassets.onedl.ai/mmclassification/v0/resnet/resnet50_8xb32_in1k_20210831-ea4938fc.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/../baseline_resnet18_imagenet.py'),
)

"""ResNet-18 -> binary ResNet-18 on ImageNet, without a method."""

_base_ = './recipe.py'
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='mmpretrain::resnet/resnet18_8xb32_in1k.py',
        ckpt='https://mmassets.onedl.ai/mmclassification/v0/resnet/resnet18_8xb32_in1k_20210831-fbbb1da6.pth',
    ),
    student=dict(
        cfg='{{ fileDirname }}/../baseline_binaryresnet18_imagenet.py'
    ),
)

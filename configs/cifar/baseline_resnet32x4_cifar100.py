"""ResNet-32x4 alone on CIFAR-100."""

_base_ = ['_base_/resnet.py', '_base_/recipe_cifar100.py']
model = dict(
    backbone=dict(depth=32, widths=(32, 64, 128, 256)),
    head=dict(in_channels=256),
)

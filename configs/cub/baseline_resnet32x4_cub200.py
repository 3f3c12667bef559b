"""ResNet-32x4 alone on CUB-200."""

_base_ = ['../cifar/_base_/resnet.py', '_base_/recipe.py']
model = dict(
    backbone=dict(depth=32, widths=(32, 64, 128, 256), stem='cub'),
    head=dict(in_channels=256, num_classes=200),
)

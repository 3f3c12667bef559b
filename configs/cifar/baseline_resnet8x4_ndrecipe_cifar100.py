"""ResNet-8x4 alone on CIFAR-100, by ND's recipe."""

_base_ = ['_base_/resnet.py', '_base_/recipe_nd_cifar100.py']
model = dict(
    backbone=dict(depth=8, widths=(32, 64, 128, 256)),
    head=dict(in_channels=256),
)

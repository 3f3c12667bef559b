"""ResNet-20 with zero-padded shortcuts alone on CIFAR-10."""

_base_ = ['_base_/resnet.py', '_base_/recipe_pad_cifar10.py']
model = dict(
    backbone=dict(depth=20, shortcut='pad'), head=dict(num_classes=10)
)

"""ResNet-32 alone on CIFAR-100."""

_base_ = ['_base_/resnet.py', '_base_/recipe_cifar100.py']
model = dict(backbone=dict(depth=32))

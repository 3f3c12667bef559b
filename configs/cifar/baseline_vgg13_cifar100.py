"""VGG-13 alone on CIFAR-100."""

_base_ = ['_base_/vgg.py', '_base_/recipe_cifar100.py']
model = dict(backbone=dict(depth=13))

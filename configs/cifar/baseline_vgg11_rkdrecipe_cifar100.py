"""VGG-11 alone on CIFAR-100, by the recipe of RKD."""

_base_ = ['_base_/vgg.py', '_base_/recipe_rkd_cifar100.py']
model = dict(backbone=dict(depth=11))

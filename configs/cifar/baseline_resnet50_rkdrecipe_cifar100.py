"""ResNet-50 alone on CIFAR-100, by the recipe of RKD."""

_base_ = ['_base_/resnet50.py', '_base_/recipe_rkd_cifar100.py']

"""MobileNetV2 alone on CIFAR-100."""

_base_ = ['_base_/mv2.py', '_base_/recipe_mobile_cifar100.py']

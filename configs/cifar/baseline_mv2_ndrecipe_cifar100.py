"""MobileNetV2 alone on CIFAR-100, by ND's recipe."""

_base_ = ['_base_/mv2.py', '_base_/recipe_nd_mobile_cifar100.py']

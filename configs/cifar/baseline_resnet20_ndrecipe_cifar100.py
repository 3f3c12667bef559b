"""ResNet-20 alone on CIFAR-100, by ND's recipe."""

_base_ = ['_base_/resnet.py', '_base_/recipe_nd_cifar100.py']
model = dict(backbone=dict(depth=20))

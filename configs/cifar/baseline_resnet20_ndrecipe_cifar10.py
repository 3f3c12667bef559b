"""ResNet-20 alone on CIFAR-10, by ND's recipe."""

_base_ = ['_base_/resnet.py', '_base_/recipe_nd_cifar10.py']
model = dict(backbone=dict(depth=20), head=dict(num_classes=10))

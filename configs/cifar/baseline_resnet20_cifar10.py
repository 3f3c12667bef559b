"""ResNet-20 alone on CIFAR-10."""

_base_ = ['_base_/resnet.py', '_base_/recipe_cifar10.py']
model = dict(backbone=dict(depth=20), head=dict(num_classes=10))

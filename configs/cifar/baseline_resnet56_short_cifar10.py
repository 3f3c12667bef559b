"""ResNet-56 alone on CIFAR-10 in 30 epochs."""

_base_ = ['_base_/resnet.py', '_base_/recipe_short_cifar10.py']
model = dict(backbone=dict(depth=56), head=dict(num_classes=10))

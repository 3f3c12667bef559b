"""ResNet-20 alone on CIFAR-100, by the recipe of IE-KD."""

_base_ = ['_base_/resnet.py', '_base_/recipe_ie_cifar100.py']
model = dict(backbone=dict(depth=20))

"""ResNet-50 alone on CIFAR-100."""

_base_ = ['_base_/resnet50.py', '_base_/recipe_cifar100.py']

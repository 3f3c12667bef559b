"""ResNet-18 alone on ImageNet."""

_base_ = ['_base_/resnet18.py', '_base_/recipe.py']

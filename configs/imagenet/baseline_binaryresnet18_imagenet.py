"""binary ResNet-18 alone on ImageNet."""

_base_ = ['_base_/binaryresnet18.py', '_base_/recipe.py']

"""ResNet-18 alone on ImageNet, by ND's recipe."""

_base_ = ['_base_/resnet18.py', '_base_/recipe_nd.py']

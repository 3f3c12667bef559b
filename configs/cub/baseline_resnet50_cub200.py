"""ResNet-50 alone on CUB-200."""

_base_ = ['../cifar/_base_/resnet50.py', '_base_/recipe.py']
model = dict(backbone=dict(stem='cub'), head=dict(num_classes=200))

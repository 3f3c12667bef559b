"""MobileNetV2 alone on CUB-200."""

_base_ = ['../cifar/_base_/mv2.py', '_base_/recipe_mobile.py']
model = dict(backbone=dict(stem='cub'), head=dict(num_classes=200))

"""ShuffleNetV1 alone on CUB-200."""

_base_ = ['../cifar/_base_/shufflev1.py', '_base_/recipe_mobile.py']
model = dict(backbone=dict(stem='cub'), head=dict(num_classes=200))

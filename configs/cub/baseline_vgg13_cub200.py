"""VGG-13 alone on CUB-200."""

_base_ = ['../cifar/_base_/vgg.py', '_base_/recipe.py']
model = dict(backbone=dict(depth=13), head=dict(num_classes=200))

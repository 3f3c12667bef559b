"""MobileNetV1 alone on ImageNet."""

_base_ = ['_base_/mv1.py', '_base_/recipe.py']

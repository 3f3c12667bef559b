"""MobileNetV1 alone on ImageNet, by ND's recipe."""

_base_ = ['_base_/mv1.py', '_base_/recipe_nd.py']

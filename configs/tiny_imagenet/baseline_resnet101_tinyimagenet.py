"""ResNet-101 alone on Tiny-ImageNet."""

_base_ = ['_base_/resnet.py', '_base_/recipe.py']
model = dict(backbone=dict(depth=101), head=dict(in_channels=2048))

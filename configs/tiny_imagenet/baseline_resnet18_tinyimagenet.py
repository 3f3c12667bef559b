"""ResNet-18 alone on Tiny-ImageNet."""

_base_ = ['_base_/resnet.py', '_base_/recipe.py']
model = dict(backbone=dict(depth=18), head=dict(in_channels=512))

"""WRN-40-1 alone on CIFAR-100."""

_base_ = ['_base_/wrn.py', '_base_/recipe_cifar100.py']
model = dict(backbone=dict(depth=40, widen=1), head=dict(in_channels=64))

"""WRN-16-4 alone on CIFAR-100."""

_base_ = ['_base_/wrn.py', '_base_/recipe_cifar100.py']
model = dict(backbone=dict(depth=16, widen=4), head=dict(in_channels=256))

"""WRN-40-2 alone on CIFAR-100."""

_base_ = ['_base_/wrn.py', '_base_/recipe_cifar100.py']
model = dict(backbone=dict(depth=40, widen=2))

"""ShuffleNetV2 x1.5 alone on CIFAR-100."""

_base_ = ['_base_/shufflev2.py', '_base_/recipe_mobile_cifar100.py']
model = dict(backbone=dict(width=1.5))

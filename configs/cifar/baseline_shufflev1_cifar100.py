"""ShuffleNetV1 alone on CIFAR-100."""

_base_ = ['_base_/shufflev1.py', '_base_/recipe_mobile_cifar100.py']

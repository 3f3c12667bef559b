"""MicroEffNet alone on CIFAR-100."""

_base_ = ['_base_/microeffnet.py', '_base_/recipe_cifar100.py']

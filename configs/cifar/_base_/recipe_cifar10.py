"""CIFAR-10 by the recipe of mdistiller and SDD."""

_base_ = [
    '../../_base_/datasets/cifar10.py',
    '../../_base_/schedules/cifar_240e.py',
]

"""CIFAR-100 by the recipe of mdistiller and SDD."""

_base_ = [
    '../../_base_/datasets/cifar100.py',
    '../../_base_/schedules/cifar_240e.py',
]

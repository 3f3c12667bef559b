"""CIFAR-10 in minutes instead of hours: one short recipe for all methods."""

_base_ = [
    '../../_base_/datasets/cifar10.py',
    '../../_base_/schedules/cifar_short.py',
]

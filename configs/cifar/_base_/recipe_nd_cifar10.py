"""CIFAR-10 by the recipe of the ND scripts, 64 images on each of two GPUs."""

_base_ = [
    '../../_base_/datasets/cifar10.py',
    '../../_base_/schedules/cifar_240e_nd.py',
]

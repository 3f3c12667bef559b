"""Tiny-ImageNet by the recipe of RKD."""

_base_ = [
    '../../_base_/datasets/tiny_imagenet.py',
    '../../_base_/schedules/tiny_imagenet_300e.py',
]

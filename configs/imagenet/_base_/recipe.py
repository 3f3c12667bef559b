"""ImageNet by the recipe of mdistiller and SDD."""

_base_ = [
    '../../_base_/datasets/imagenet.py',
    '../../_base_/schedules/imagenet_100e.py',
]

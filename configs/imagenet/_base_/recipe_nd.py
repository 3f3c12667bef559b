"""ImageNet by the recipe of the ND scripts."""

_base_ = [
    '../../_base_/datasets/imagenet.py',
    '../../_base_/schedules/imagenet_100e_nd.py',
]

"""ResNet-18 with 16 dimensions by triplets on CUB-200."""

_base_ = [
    '_base_/resnet18.py',
    '_base_/triplet.py',
    '_base_/cub200.py',
    '_base_/teacher_40e.py',
]
model = dict(embed_dims=16, **_base_.pop('method'))

"""ResNet-18 with 64 dimensions by triplets on SOP."""

_base_ = [
    '_base_/resnet18.py',
    '_base_/triplet.py',
    '_base_/sop_1000.py',
    '_base_/teacher_40e.py',
]
model = dict(embed_dims=64, **_base_.pop('method'))

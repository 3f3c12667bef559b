"""ResNet-50 with 512 dimensions by triplets on SOP."""

_base_ = [
    '_base_/resnet50.py',
    '_base_/triplet.py',
    '_base_/sop_1000.py',
    '_base_/teacher_40e.py',
]
model = dict(embed_dims=512, **_base_.pop('method'))

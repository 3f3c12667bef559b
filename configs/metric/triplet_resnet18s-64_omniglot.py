"""slim ResNet-18 with 64 dimensions by triplets on Omniglot."""

_base_ = [
    '_base_/resnet18s.py',
    '_base_/triplet.py',
    '_base_/omniglot.py',
    '_base_/omniglot_20e.py',
]
model = dict(embed_dims=64, **_base_.pop('method'))

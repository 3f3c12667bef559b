"""slim Conv4 with 16 dimensions by triplets on Omniglot."""

_base_ = [
    '_base_/conv4s.py',
    '_base_/triplet.py',
    '_base_/omniglot.py',
    '_base_/omniglot_20e.py',
]
model = dict(embed_dims=16, **_base_.pop('method'))

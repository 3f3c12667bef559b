"""RKD-D: slim ResNet-18 (64) -> slim Conv4 (16) on Omniglot."""

_base_ = ['_base_/rkdd.py', '_base_/conv4s_omniglot.py']
model = dict(student=dict(embed_dims=16), **_base_.pop('method'))

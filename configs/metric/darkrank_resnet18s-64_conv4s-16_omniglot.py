"""DarkRank: slim ResNet-18 (64) -> slim Conv4 (16) on Omniglot."""

_base_ = ['_base_/darkrank.py', '_base_/conv4s_omniglot.py']
model = _base_.pop('method')
model.student.embed_dims = 16

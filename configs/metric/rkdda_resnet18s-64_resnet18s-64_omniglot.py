"""RKD-DA: slim ResNet-18 (64) -> slim ResNet-18 (64) on Omniglot."""

_base_ = ['_base_/rkdda.py', '_base_/resnet18s_omniglot.py']
model = dict(student=dict(embed_dims=64), **_base_.pop('method'))

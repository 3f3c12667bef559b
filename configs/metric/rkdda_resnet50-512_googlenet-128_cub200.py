"""RKD-DA: ResNet-50 (512) -> GoogLeNet (128) on CUB-200."""

_base_ = ['_base_/rkdda.py', '_base_/googlenet_cub200.py']
model = dict(student=dict(embed_dims=128), **_base_.pop('method'))

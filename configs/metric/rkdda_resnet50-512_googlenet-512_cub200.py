"""RKD-DA: ResNet-50 (512) -> GoogLeNet (512) on CUB-200."""

_base_ = ['_base_/rkdda.py', '_base_/googlenet_cub200.py']
model = dict(student=dict(embed_dims=512), **_base_.pop('method'))

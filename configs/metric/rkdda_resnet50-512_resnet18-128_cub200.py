"""RKD-DA: ResNet-50 (512) -> ResNet-18 (128) on CUB-200."""

_base_ = ['_base_/rkdda.py', '_base_/resnet18_cub200.py']
model = dict(student=dict(embed_dims=128), **_base_.pop('method'))

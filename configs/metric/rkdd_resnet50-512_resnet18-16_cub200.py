"""RKD-D: ResNet-50 (512) -> ResNet-18 (16) on CUB-200."""

_base_ = ['_base_/rkdd.py', '_base_/resnet18_cub200.py']
model = dict(student=dict(embed_dims=16), **_base_.pop('method'))

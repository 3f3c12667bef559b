"""RKD-DA: ResNet-50 (512) -> ResNet-50 (512) on CUB-200."""

_base_ = ['_base_/rkdda.py', '_base_/resnet50_cub200.py']
model = dict(student=dict(embed_dims=512), **_base_.pop('method'))

"""RKD-DA: ResNet-50 (512) -> GoogLeNet (128) on Cars-196."""

_base_ = ['_base_/rkdda.py', '_base_/googlenet_cars196.py']
model = dict(student=dict(embed_dims=128), **_base_.pop('method'))

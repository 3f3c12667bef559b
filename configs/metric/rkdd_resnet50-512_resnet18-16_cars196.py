"""RKD-D: ResNet-50 (512) -> ResNet-18 (16) on Cars-196."""

_base_ = ['_base_/rkdd.py', '_base_/resnet18_cars196.py']
model = dict(student=dict(embed_dims=16), **_base_.pop('method'))

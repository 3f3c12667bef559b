"""DarkRank: ResNet-50 (512) -> ResNet-18 (32) on Cars-196."""

_base_ = ['_base_/darkrank.py', '_base_/resnet18_cars196.py']
model = _base_.pop('method')
model.student.embed_dims = 32

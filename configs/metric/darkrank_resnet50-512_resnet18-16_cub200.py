"""DarkRank: ResNet-50 (512) -> ResNet-18 (16) on CUB-200."""

_base_ = ['_base_/darkrank.py', '_base_/resnet18_cub200.py']
model = _base_.pop('method')
model.student.embed_dims = 16

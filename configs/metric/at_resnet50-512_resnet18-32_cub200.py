"""AT: ResNet-50 (512) -> ResNet-18 (32) on CUB-200."""

_base_ = ['_base_/at.py', '_base_/resnet18_cub200.py']
model = _base_.pop('method')
model.student.embed_dims = 32

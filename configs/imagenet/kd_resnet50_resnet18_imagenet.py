"""KD: ResNet-50 -> ResNet-18 on ImageNet."""

_base_ = ['_base_/kd.py', '_base_/resnet50_resnet18.py']
model = _base_.pop('method')

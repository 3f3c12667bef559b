"""KD: ResNet-152 -> ResNet-18 on ImageNet."""

_base_ = ['_base_/kd.py', '_base_/resnet152_resnet18.py']
model = _base_.pop('method')

"""SRRL: ResNet-34 -> ResNet-18 on ImageNet."""

_base_ = ['_base_/srrl.py', '_base_/resnet34_resnet18.py']
model = _base_.pop('method')

"""SRRL: ResNet-18 -> binary ResNet-18 on ImageNet."""

_base_ = ['_base_/srrl.py', '_base_/resnet18_binaryresnet18.py']
model = _base_.pop('method')

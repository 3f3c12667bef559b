"""SRRL: ResNet-50 -> MobileNetV1 on ImageNet."""

_base_ = ['_base_/srrl.py', '_base_/resnet50_mv1.py']
model = _base_.pop('method')

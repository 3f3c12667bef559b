"""FitNet: ResNet-101 -> ResNet-18 on Tiny-ImageNet."""

_base_ = ['../cifar/_base_/fitnet.py', '_base_/resnet101_resnet18.py']
model = _base_.pop('method')

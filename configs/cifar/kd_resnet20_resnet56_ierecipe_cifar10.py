"""KD: ResNet-20 -> ResNet-56 on CIFAR-10, by the recipe of IE-KD."""

_base_ = ['_base_/kd_ie.py', '_base_/resnet20_resnet56_ie_cifar10.py']
model = _base_.pop('method')

"""AT: ResNet-56 -> ResNet-20 on CIFAR-10, by the recipe of IE-KD."""

_base_ = ['_base_/at.py', '_base_/resnet56_resnet20_ie_cifar10.py']
model = _base_.pop('method')

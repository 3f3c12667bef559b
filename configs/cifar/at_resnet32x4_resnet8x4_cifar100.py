"""AT: ResNet-32x4 -> ResNet-8x4 on CIFAR-100."""

_base_ = ['_base_/at.py', '_base_/resnet32x4_resnet8x4_cifar100.py']
model = _base_.pop('method')

"""RKD: ResNet-110 -> ResNet-32 on CIFAR-100."""

_base_ = ['_base_/rkd.py', '_base_/resnet110_resnet32_cifar100.py']
model = _base_.pop('method')

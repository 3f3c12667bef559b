"""SRRL: ResNet-32x4 -> ShuffleNetV2 x1.5 on CIFAR-100."""

_base_ = ['_base_/srrl.py', '_base_/resnet32x4_shufflev2x15_cifar100.py']
model = _base_.pop('method')

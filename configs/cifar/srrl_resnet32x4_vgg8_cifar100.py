"""SRRL: ResNet-32x4 -> VGG-8 on CIFAR-100."""

_base_ = ['_base_/srrl.py', '_base_/resnet32x4_vgg8_cifar100.py']
model = _base_.pop('method')

"""OFD: ResNet-56 -> ResNet-20 on CIFAR-10 in 30 epochs."""

_base_ = ['_base_/ofd.py', '_base_/resnet56_resnet20_short_cifar10.py']
model = _base_.pop('method')

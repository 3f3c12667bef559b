"""AT and SRRL: ResNet-56 -> ResNet-20 on CIFAR-10."""

_base_ = ['_base_/at-srrl.py', '_base_/resnet56_resnet20_cifar10.py']
model = _base_.pop('method')

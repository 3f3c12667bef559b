"""RKD: MicroEffNet -> ResNet-20 on CIFAR-100."""

_base_ = ['_base_/rkd.py', '_base_/microeffnet_resnet20_cifar100.py']
model = _base_.pop('method')

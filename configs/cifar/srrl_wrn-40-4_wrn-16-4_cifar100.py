"""SRRL: WRN-40-4 -> WRN-16-4 on CIFAR-100."""

_base_ = ['_base_/srrl.py', '_base_/wrn-40-4_wrn-16-4_cifar100.py']
model = _base_.pop('method')

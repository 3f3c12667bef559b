"""RKD: WRN-40-2 -> WRN-40-1 on CIFAR-100."""

_base_ = ['_base_/rkd.py', '_base_/wrn-40-2_wrn-40-1_cifar100.py']
model = _base_.pop('method')

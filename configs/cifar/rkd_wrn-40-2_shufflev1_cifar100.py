"""RKD: WRN-40-2 -> ShuffleNetV1 on CIFAR-100."""

_base_ = ['_base_/rkd.py', '_base_/wrn-40-2_shufflev1_cifar100.py']
model = _base_.pop('method')

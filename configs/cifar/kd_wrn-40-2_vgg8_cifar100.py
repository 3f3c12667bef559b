"""KD: WRN-40-2 -> VGG-8 on CIFAR-100."""

_base_ = ['_base_/kd.py', '_base_/wrn-40-2_vgg8_cifar100.py']
model = _base_.pop('method')

"""NKD: VGG-13 -> VGG-8 on CUB-200."""

_base_ = ['../cifar/_base_/nkd.py', '_base_/vgg13_vgg8.py']
model = _base_.pop('method')

"""RKD: VGG-13 -> MobileNetV2 on CIFAR-100."""

_base_ = ['_base_/rkd.py', '_base_/vgg13_mv2_cifar100.py']
model = _base_.pop('method')

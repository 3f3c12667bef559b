"""RKD: ResNet-50 -> MobileNetV2 on CIFAR-100."""

_base_ = ['_base_/rkd.py', '_base_/resnet50_mv2_cifar100.py']
model = _base_.pop('method')

"""RKD: ResNet-50 -> VGG-8 on CIFAR-100."""

_base_ = ['_base_/rkd.py', '_base_/resnet50_vgg8_cifar100.py']
model = _base_.pop('method')

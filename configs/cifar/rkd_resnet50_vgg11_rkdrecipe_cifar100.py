"""RKD: ResNet-50 -> VGG-11 on CIFAR-100, by the recipe of RKD."""

_base_ = ['_base_/rkd_rkd.py', '_base_/resnet50_vgg11_rkd_cifar100.py']
model = _base_.pop('method')

"""KD: ResNet-50 -> ShuffleNetV1 on CIFAR-100."""

_base_ = ['_base_/kd.py', '_base_/resnet50_shufflev1_cifar100.py']
model = _base_.pop('method')

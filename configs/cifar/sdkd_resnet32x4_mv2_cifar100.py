"""SD-KD: ResNet-32x4 -> MobileNetV2 on CIFAR-100."""

_base_ = ['_base_/sdkd.py', '_base_/resnet32x4_mv2_cifar100.py']
model = _base_.pop('method')
optim_wrapper = dict(clip_grad=dict(max_norm=40.0))

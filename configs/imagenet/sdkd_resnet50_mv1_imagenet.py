"""SD-KD: ResNet-50 -> MobileNetV1 on ImageNet."""

_base_ = ['../cifar/_base_/sdkd.py', '_base_/resnet50_mv1.py']
model = _base_.pop('method')
optim_wrapper = dict(clip_grad=dict(max_norm=40.0))

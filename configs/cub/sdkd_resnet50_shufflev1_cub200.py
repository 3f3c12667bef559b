"""SD-KD: ResNet-50 -> ShuffleNetV1 on CUB-200."""

_base_ = ['../cifar/_base_/sdkd.py', '_base_/resnet50_shufflev1.py']
model = _base_.pop('method')
optim_wrapper = dict(clip_grad=dict(max_norm=40.0))

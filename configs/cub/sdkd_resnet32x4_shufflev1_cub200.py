"""SD-KD: ResNet-32x4 -> ShuffleNetV1 on CUB-200."""

_base_ = ['../cifar/_base_/sdkd.py', '_base_/resnet32x4_shufflev1.py']
model = _base_.pop('method')
optim_wrapper = dict(clip_grad=dict(max_norm=40.0))

"""SD-KD: VGG-13 -> MobileNetV2 on CUB-200."""

_base_ = ['../cifar/_base_/sdkd.py', '_base_/vgg13_mv2.py']
model = _base_.pop('method')
optim_wrapper = dict(clip_grad=dict(max_norm=40.0))

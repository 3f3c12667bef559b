"""SD-NKD: ResNet-32x4 -> MobileNetV2 on CUB-200."""

_base_ = ['../cifar/_base_/sdnkd.py', '_base_/resnet32x4_mv2.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_sdd.base.gamma = 8.0
optim_wrapper = dict(clip_grad=dict(max_norm=40.0))

"""DKD: ResNet-32x4 -> MobileNetV2 on CUB-200."""

_base_ = ['../cifar/_base_/dkd.py', '_base_/resnet32x4_mv2.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_dkd.beta = 8.0

"""DKD: VGG-13 -> MobileNetV2 on CUB-200."""

_base_ = ['../cifar/_base_/dkd.py', '_base_/vgg13_mv2.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_dkd.beta = 6.0

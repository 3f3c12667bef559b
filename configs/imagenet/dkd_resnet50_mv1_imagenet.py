"""DKD: ResNet-50 -> MobileNetV1 on ImageNet."""

_base_ = ['_base_/dkd.py', '_base_/resnet50_mv1.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_dkd.beta = 2.0

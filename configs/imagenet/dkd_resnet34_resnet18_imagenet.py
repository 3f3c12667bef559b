"""DKD: ResNet-34 -> ResNet-18 on ImageNet."""

_base_ = ['_base_/dkd.py', '_base_/resnet34_resnet18.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_dkd.beta = 0.5

"""KD++: ResNet-34 -> ResNet-18 on ImageNet."""

_base_ = ['_base_/kdpp.py', '_base_/resnet34_resnet18_nd.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_kd.loss_weight = 2.5
model.distillers.logit.losses.loss_nd.loss_weight = 1.0

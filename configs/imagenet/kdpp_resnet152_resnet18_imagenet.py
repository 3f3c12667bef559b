"""KD++: ResNet-152 -> ResNet-18 on ImageNet."""

_base_ = ['_base_/kdpp.py', '_base_/resnet152_resnet18_nd.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_kd.loss_weight = 4.0
model.distillers.logit.losses.loss_nd.loss_weight = 2.0

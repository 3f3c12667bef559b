"""ReviewKD++: ResNet-50 -> ResNet-18 on ImageNet."""

_base_ = ['_base_/reviewkdpp.py', '_base_/resnet50_resnet18_nd.py']
model = _base_.pop('method')
model.distillers.feats.losses.loss_reviewkd.loss_weight = 3.0
model.distillers.logit.losses.loss_nd.loss_weight = 2.0

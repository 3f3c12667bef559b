"""ReviewKD++: ResNet-34 -> ResNet-18 on ImageNet."""

_base_ = ['_base_/reviewkdpp.py', '_base_/resnet34_resnet18_nd.py']
model = _base_.pop('method')
model.distillers.feats.losses.loss_reviewkd.loss_weight = 1.0
model.distillers.logit.losses.loss_nd.loss_weight = 3.0

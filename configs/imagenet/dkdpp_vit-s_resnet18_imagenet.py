"""DKD++: ViT-S -> ResNet-18 on ImageNet."""

_base_ = ['_base_/dkdpp.py', '_base_/vit-s_resnet18_nd.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_dkd.alpha = 1.0
model.distillers.logit.losses.loss_dkd.beta = 1.0
model.distillers.logit.losses.loss_nd.loss_weight = 2.0

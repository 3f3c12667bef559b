"""DKD++: ViT-B -> ResNet-18 on ImageNet."""

_base_ = ['_base_/dkdpp.py', '_base_/vit-b_resnet18_nd.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_dkd.alpha = 1.4
model.distillers.logit.losses.loss_dkd.beta = 0.5
model.distillers.logit.losses.loss_nd.loss_weight = 2.0

"""DKD++: ResNet-101 -> ResNet-18 on ImageNet.

The command in the README has 2 for ND's weight.
"""

_base_ = ['_base_/dkdpp.py', '_base_/resnet101_resnet18_nd.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_dkd.alpha = 0.8
model.distillers.logit.losses.loss_dkd.beta = 0.5
model.distillers.logit.losses.loss_nd.loss_weight = 1.0

"""DKD++: ResNet-50 -> MobileNetV1 on ImageNet.

An earlier commit of the ND scripts has 0.5 for beta.
"""

_base_ = ['_base_/dkdpp.py', '_base_/resnet50_mv1_nd.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_dkd.alpha = 0.8
model.distillers.logit.losses.loss_dkd.beta = 1.0
model.distillers.logit.losses.loss_nd.loss_weight = 1.0

"""DKD++: MicroEffNet -> ResNet-20 on CIFAR-100."""

_base_ = ['_base_/dkdpp.py', '_base_/microeffnet_resnet20_nd_cifar100.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_dkd.alpha = 2.5
model.distillers.logit.losses.loss_dkd.beta = 4.0
model.distillers.logit.losses.loss_nd.loss_weight = 3.5

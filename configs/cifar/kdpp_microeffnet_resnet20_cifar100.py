"""KD++: MicroEffNet -> ResNet-20 on CIFAR-100."""

_base_ = ['_base_/kdpp.py', '_base_/microeffnet_resnet20_nd_cifar100.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_kd.loss_weight = 1.0
model.distillers.logit.losses.loss_nd.loss_weight = 2.0

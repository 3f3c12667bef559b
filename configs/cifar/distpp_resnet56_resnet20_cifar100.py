"""DIST++: ResNet-56 -> ResNet-20 on CIFAR-100."""

_base_ = ['_base_/distpp.py', '_base_/resnet56_resnet20_nd_cifar100.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_dist.loss_weight = 2.0
model.distillers.logit.losses.loss_nd.loss_weight = 1.0

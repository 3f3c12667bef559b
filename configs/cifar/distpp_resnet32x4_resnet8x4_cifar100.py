"""DIST++: ResNet-32x4 -> ResNet-8x4 on CIFAR-100."""

_base_ = ['_base_/distpp.py', '_base_/resnet32x4_resnet8x4_nd_cifar100.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_dist.loss_weight = 1.5
model.distillers.logit.losses.loss_nd.loss_weight = 4.0

"""DIST++: ResNet-32x4 -> ShuffleNetV1 on CIFAR-100."""

_base_ = ['_base_/distpp.py', '_base_/resnet32x4_shufflev1_nd_cifar100.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_dist.loss_weight = 2.5
model.distillers.logit.losses.loss_nd.loss_weight = 3.0

"""KD++: ResNet-32x4 -> ResNet-8x4 on CIFAR-100."""

_base_ = ['_base_/kdpp.py', '_base_/resnet32x4_resnet8x4_nd_cifar100.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_kd.loss_weight = 3.5
model.distillers.logit.losses.loss_nd.loss_weight = 2.0

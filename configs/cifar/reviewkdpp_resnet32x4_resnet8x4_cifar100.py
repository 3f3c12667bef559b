"""ReviewKD++: ResNet-32x4 -> ResNet-8x4 on CIFAR-100."""

_base_ = ['_base_/reviewkdpp.py', '_base_/resnet32x4_resnet8x4_nd_cifar100.py']
model = _base_.pop('method')
model.distillers.feats.losses.loss_reviewkd.loss_weight = 8.0
model.distillers.logit.losses.loss_nd.loss_weight = 1.0

"""ReviewKD++: ResNet-56 -> ResNet-20 on CIFAR-100."""

_base_ = ['_base_/reviewkdpp.py', '_base_/resnet56_resnet20_nd_cifar100.py']
model = _base_.pop('method')
model.distillers.feats.losses.loss_reviewkd.loss_weight = 1.2
model.distillers.logit.losses.loss_nd.loss_weight = 1.0

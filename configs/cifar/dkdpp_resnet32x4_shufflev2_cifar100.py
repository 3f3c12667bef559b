"""DKD++: ResNet-32x4 -> ShuffleNetV2 on CIFAR-100."""

_base_ = ['_base_/dkdpp.py', '_base_/resnet32x4_shufflev2_nd_cifar100.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_dkd.alpha = 0.5
model.distillers.logit.losses.loss_dkd.beta = 6.0
model.distillers.logit.losses.loss_nd.loss_weight = 0.5

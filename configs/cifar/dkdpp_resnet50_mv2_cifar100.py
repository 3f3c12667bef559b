"""DKD++: ResNet-50 -> MobileNetV2 on CIFAR-100."""

_base_ = ['_base_/dkdpp.py', '_base_/resnet50_mv2_nd_cifar100.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_dkd.alpha = 0.5
model.distillers.logit.losses.loss_dkd.beta = 8.0
model.distillers.logit.losses.loss_nd.loss_weight = 1.0

"""KD++: ResNet-56 -> ResNet-8 on CIFAR-10 in 30 epochs."""

_base_ = [
    '_base_/kdpp_short.py',
    '_base_/resnet56_resnet8_nd_short_cifar10.py',
]
model = _base_.pop('method')
model.distillers.logit.losses.loss_kd.loss_weight = 1.0
model.distillers.logit.losses.loss_nd.loss_weight = 2.0

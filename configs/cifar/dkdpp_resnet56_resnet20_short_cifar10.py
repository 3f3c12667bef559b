"""DKD++: ResNet-56 -> ResNet-20 on 480 images of CIFAR-10."""

_base_ = [
    '_base_/dkdpp_short.py',
    '_base_/resnet56_resnet20_nd_short_cifar10.py',
]
model = _base_.pop('method')
model.distillers.logit.losses.loss_dkd.alpha = 2.5
model.distillers.logit.losses.loss_dkd.beta = 4.0
model.distillers.logit.losses.loss_nd.loss_weight = 3.5

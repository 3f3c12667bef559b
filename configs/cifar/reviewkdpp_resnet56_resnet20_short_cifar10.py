"""ReviewKD++: ResNet-56 -> ResNet-20 on 480 images of CIFAR-10."""

_base_ = [
    '_base_/reviewkdpp_short.py',
    '_base_/resnet56_resnet20_nd_short_cifar10.py',
]
model = _base_.pop('method')
model.distillers.feats.losses.loss_reviewkd.loss_weight = 1.2
model.distillers.logit.losses.loss_nd.loss_weight = 1.0

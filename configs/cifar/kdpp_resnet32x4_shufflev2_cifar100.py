"""KD++: ResNet-32x4 -> ShuffleNetV2 on CIFAR-100."""

_base_ = ['_base_/kdpp.py', '_base_/resnet32x4_shufflev2_nd_cifar100.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_kd.loss_weight = 4.0
model.distillers.logit.losses.loss_nd.loss_weight = 0.5

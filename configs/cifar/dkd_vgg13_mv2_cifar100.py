"""DKD: VGG-13 -> MobileNetV2 on CIFAR-100."""

_base_ = ['_base_/dkd.py', '_base_/vgg13_mv2_cifar100.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_dkd.beta = 6.0

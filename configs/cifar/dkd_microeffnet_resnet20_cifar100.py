"""DKD: MicroEffNet -> ResNet-20 on CIFAR-100."""

_base_ = ['_base_/dkd.py', '_base_/microeffnet_resnet20_cifar100.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_dkd.beta = 2.0

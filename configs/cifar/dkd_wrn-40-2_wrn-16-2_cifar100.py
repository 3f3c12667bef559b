"""DKD: WRN-40-2 -> WRN-16-2 on CIFAR-100."""

_base_ = ['_base_/dkd.py', '_base_/wrn-40-2_wrn-16-2_cifar100.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_dkd.beta = 6.0

"""KD++: WRN-40-2 -> WRN-40-1 on CIFAR-100."""

_base_ = ['_base_/kdpp.py', '_base_/wrn-40-2_wrn-40-1_nd_cifar100.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_kd.loss_weight = 1.0
model.distillers.logit.losses.loss_nd.loss_weight = 1.5

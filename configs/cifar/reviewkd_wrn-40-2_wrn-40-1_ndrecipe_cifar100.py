"""ReviewKD, the ablation of `reviewkdpp_wrn-40-2_wrn-40-1_cifar100.py`."""

_base_ = './reviewkdpp_wrn-40-2_wrn-40-1_cifar100.py'
model = _base_.pop('model')
del model.distillers.logit

"""ReviewKD, the ablation of `reviewkdpp_resnet56_resnet20_cifar100.py`."""

_base_ = './reviewkdpp_resnet56_resnet20_cifar100.py'
model = _base_.pop('model')
del model.distillers.logit

"""ReviewKD, the ablation of `reviewkdpp_resnet50_mv2_cifar100.py`."""

_base_ = './reviewkdpp_resnet50_mv2_cifar100.py'
model = _base_.pop('model')
del model.distillers.logit

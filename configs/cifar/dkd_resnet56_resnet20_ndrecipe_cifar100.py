"""DKD, the ablation of `dkdpp_resnet56_resnet20_cifar100.py`."""

_base_ = './dkdpp_resnet56_resnet20_cifar100.py'
model = _base_.pop('model')
del model.distillers.logit.centroids
del model.distillers.logit.losses.loss_nd

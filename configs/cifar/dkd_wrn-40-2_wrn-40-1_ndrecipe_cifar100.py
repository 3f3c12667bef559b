"""DKD, the ablation of `dkdpp_wrn-40-2_wrn-40-1_cifar100.py`."""

_base_ = './dkdpp_wrn-40-2_wrn-40-1_cifar100.py'
model = _base_.pop('model')
del model.distillers.logit.centroids
del model.distillers.logit.connectors
del model.distillers.logit.losses.loss_nd

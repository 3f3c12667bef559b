"""DIST, the ablation of `distpp_resnet32x4_shufflev2_cifar100.py`."""

_base_ = './distpp_resnet32x4_shufflev2_cifar100.py'
model = _base_.pop('model')
del model.distillers.logit.centroids
del model.distillers.logit.connectors
del model.distillers.logit.losses.loss_nd

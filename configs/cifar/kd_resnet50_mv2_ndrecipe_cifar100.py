"""KD, the ablation of `kdpp_resnet50_mv2_cifar100.py`."""

_base_ = './kdpp_resnet50_mv2_cifar100.py'
model = _base_.pop('model')
del model.distillers.logit.centroids
del model.distillers.logit.connectors
del model.distillers.logit.losses.loss_nd

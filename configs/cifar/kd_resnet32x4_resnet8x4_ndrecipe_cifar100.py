"""KD, the ablation of `kdpp_resnet32x4_resnet8x4_cifar100.py`."""

_base_ = './kdpp_resnet32x4_resnet8x4_cifar100.py'
model = _base_.pop('model')
del model.distillers.logit.centroids
del model.distillers.logit.losses.loss_nd

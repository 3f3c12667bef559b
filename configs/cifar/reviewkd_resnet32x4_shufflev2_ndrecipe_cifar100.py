"""ReviewKD, the ablation of `reviewkdpp_resnet32x4_shufflev2_cifar100.py`."""

_base_ = './reviewkdpp_resnet32x4_shufflev2_cifar100.py'
model = _base_.pop('model')
del model.distillers.logit

"""SD-DKD: VGG-13 -> ShuffleNetV1 on CIFAR-100."""

_base_ = ['_base_/sddkd.py', '_base_/vgg13_shufflev1_cifar100.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_sdd.base.beta = 6.0
optim_wrapper = dict(clip_grad=dict(max_norm=40.0))

"""SD-NKD: ResNet-32x4 -> ShuffleNetV1 on CIFAR-100."""

_base_ = ['_base_/sdnkd.py', '_base_/resnet32x4_shufflev1_cifar100.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_sdd.base.gamma = 8.0
optim_wrapper = dict(clip_grad=dict(max_norm=40.0))

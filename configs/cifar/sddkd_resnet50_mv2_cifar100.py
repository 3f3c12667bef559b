"""SD-DKD: ResNet-50 -> MobileNetV2 on CIFAR-100."""

_base_ = ['_base_/sddkd.py', '_base_/resnet50_mv2_cifar100.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_sdd.base.beta = 8.0
optim_wrapper = dict(clip_grad=dict(max_norm=40.0))

"""SD-NKD: ResNet-110 -> ResNet-32 on CIFAR-100."""

_base_ = ['_base_/sdnkd.py', '_base_/resnet110_resnet32_cifar100.py']
model = _base_.pop('method')
model.distillers.logit.scales = (1, 2)
model.distillers.logit.losses.loss_sdd.base.gamma = 2.0
optim_wrapper = dict(clip_grad=dict(max_norm=40.0))

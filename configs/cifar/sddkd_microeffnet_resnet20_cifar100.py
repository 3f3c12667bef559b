"""SD-DKD: MicroEffNet -> ResNet-20 on CIFAR-100."""

_base_ = ['_base_/sddkd.py', '_base_/microeffnet_resnet20_cifar100.py']
model = _base_.pop('method')
model.distillers.logit.scales = (1, 2)
model.distillers.logit.losses.loss_sdd.base.beta = 2.0
optim_wrapper = dict(clip_grad=dict(max_norm=40.0))

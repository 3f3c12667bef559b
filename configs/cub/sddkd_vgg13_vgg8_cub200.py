"""SD-DKD: VGG-13 -> VGG-8 on CUB-200."""

_base_ = ['../cifar/_base_/sddkd.py', '_base_/vgg13_vgg8.py']
model = _base_.pop('method')
model.distillers.logit.scales = (1, 2)
model.distillers.logit.losses.loss_sdd.base.beta = 6.0
optim_wrapper = dict(clip_grad=dict(max_norm=40.0))

"""SD-DKD: ResNet-50 -> MobileNetV1 on ImageNet."""

_base_ = ['_base_/sddkd.py', '_base_/resnet50_mv1.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_sdd.base.beta = 2.0
optim_wrapper = dict(clip_grad=dict(max_norm=40.0))

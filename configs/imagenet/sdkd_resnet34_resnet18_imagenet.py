"""SD-KD: ResNet-34 -> ResNet-18 on ImageNet."""

_base_ = ['../cifar/_base_/sdkd.py', '_base_/resnet34_resnet18.py']
model = _base_.pop('method')
model.distillers.logit.scales = (1, 2)
optim_wrapper = dict(clip_grad=dict(max_norm=40.0))

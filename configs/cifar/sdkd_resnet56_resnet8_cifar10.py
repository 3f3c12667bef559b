"""SD-KD: ResNet-56 -> ResNet-8 on CIFAR-10."""

_base_ = ['_base_/sdkd.py', '_base_/resnet56_resnet8_cifar10.py']
model = _base_.pop('method')
model.distillers.logit.scales = (1, 2)
optim_wrapper = dict(clip_grad=dict(max_norm=40.0))

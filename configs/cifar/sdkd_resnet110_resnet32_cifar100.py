"""SD-KD: ResNet-110 -> ResNet-32 on CIFAR-100."""

_base_ = ['_base_/sdkd.py', '_base_/resnet110_resnet32_cifar100.py']
model = _base_.pop('method')
model.distillers.logit.scales = (1, 2)
optim_wrapper = dict(clip_grad=dict(max_norm=40.0))

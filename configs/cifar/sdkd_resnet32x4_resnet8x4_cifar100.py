"""SD-KD: ResNet-32x4 -> ResNet-8x4 on CIFAR-100."""

_base_ = ['_base_/sdkd.py', '_base_/resnet32x4_resnet8x4_cifar100.py']
model = _base_.pop('method')
model.distillers.logit.scales = (1, 2)
optim_wrapper = dict(clip_grad=dict(max_norm=40.0))

"""SD-KD: WRN-40-2 -> WRN-16-2 on CIFAR-100."""

_base_ = ['_base_/sdkd.py', '_base_/wrn-40-2_wrn-16-2_cifar100.py']
model = _base_.pop('method')
model.distillers.logit.scales = (1, 2)
optim_wrapper = dict(clip_grad=dict(max_norm=40.0))

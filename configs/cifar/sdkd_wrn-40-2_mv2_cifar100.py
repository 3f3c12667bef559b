"""SD-KD: WRN-40-2 -> MobileNetV2 on CIFAR-100."""

_base_ = ['_base_/sdkd.py', '_base_/wrn-40-2_mv2_cifar100.py']
model = _base_.pop('method')
optim_wrapper = dict(clip_grad=dict(max_norm=40.0))

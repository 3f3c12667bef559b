"""SD-KD: VGG-13 -> ShuffleNetV1 on CIFAR-100."""

_base_ = ['_base_/sdkd.py', '_base_/vgg13_shufflev1_cifar100.py']
model = _base_.pop('method')
optim_wrapper = dict(clip_grad=dict(max_norm=40.0))

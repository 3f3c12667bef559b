"""KD: ResNet-56 -> ResNet-8 on 480 images of CIFAR-10."""

_base_ = ['_base_/kd.py', '_base_/resnet56_resnet8_short_cifar10.py']
model = _base_.pop('method')
optim_wrapper = dict(optimizer=dict(lr=0.025))

"""RKD-D: ResNet-56 -> ResNet-20 on 480 images of CIFAR-10."""

_base_ = ['_base_/rkdd.py', '_base_/resnet56_resnet20_short_cifar10.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_rkd_d.normalize = True

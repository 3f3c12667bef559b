"""FitNet and RKD: ResNet-56 -> ResNet-8 on 480 images of CIFAR-10."""

_base_ = ['_base_/fitnet-rkd.py', '_base_/resnet56_resnet8_short_cifar10.py']
model = _base_.pop('method')
model.distillers.logit.losses.loss_rkd_d.normalize = True
model.distillers.logit.losses.loss_rkd_a.normalize = True

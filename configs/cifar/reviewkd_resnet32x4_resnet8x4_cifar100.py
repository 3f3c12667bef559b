"""ReviewKD: ResNet-32x4 -> ResNet-8x4 on CIFAR-100."""

_base_ = ['_base_/reviewkd.py', '_base_/resnet32x4_resnet8x4_cifar100.py']
model = _base_.pop('method')
model.distillers.feats.losses.loss_reviewkd.loss_weight = 5.0

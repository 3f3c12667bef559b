"""ReviewKD: ResNet-32x4 -> ShuffleNetV2 on CIFAR-100."""

_base_ = ['_base_/reviewkd.py', '_base_/resnet32x4_shufflev2_cifar100.py']
model = _base_.pop('method')
model.distillers.feats.losses.loss_reviewkd.loss_weight = 8.0

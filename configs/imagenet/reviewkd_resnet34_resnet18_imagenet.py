"""ReviewKD: ResNet-34 -> ResNet-18 on ImageNet."""

_base_ = ['_base_/reviewkd.py', '_base_/resnet34_resnet18.py']
model = _base_.pop('method')
model.distillers.feats.losses.loss_reviewkd.loss_weight = 1.0

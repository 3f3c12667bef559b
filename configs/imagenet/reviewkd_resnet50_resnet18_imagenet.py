"""ReviewKD: ResNet-50 -> ResNet-18 on ImageNet."""

_base_ = ['_base_/reviewkd.py', '_base_/resnet50_resnet18.py']
model = _base_.pop('method')
model.distillers.feats.losses.loss_reviewkd.loss_weight = 3.0

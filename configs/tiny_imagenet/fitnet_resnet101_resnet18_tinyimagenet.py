"""FitNet: ResNet-101 -> ResNet-18 on Tiny-ImageNet."""

_base_ = ['../cifar/_base_/fitnet.py', '_base_/resnet101_resnet18.py']
model = _base_.pop('method')
model.distillers.feats.taps.student = [
    'backbone.layer2',
]
model.distillers.feats.taps.teacher = [
    'backbone.layer2',
]

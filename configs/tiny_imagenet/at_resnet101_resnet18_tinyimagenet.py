"""AT: ResNet-101 -> ResNet-18 on Tiny-ImageNet."""

_base_ = ['../cifar/_base_/at.py', '_base_/resnet101_resnet18.py']
model = _base_.pop('method')
model.distillers.feats.taps.student = [
    'backbone.layer1',
    'backbone.layer2',
    'backbone.layer3',
    'backbone.layer4',
]
model.distillers.feats.taps.teacher = [
    'backbone.layer1',
    'backbone.layer2',
    'backbone.layer3',
    'backbone.layer4',
]

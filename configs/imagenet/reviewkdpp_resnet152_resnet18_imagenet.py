"""ReviewKD++: ResNet-152 -> ResNet-18 on ImageNet."""

_base_ = ['_base_/reviewkdpp.py', '_base_/resnet152_resnet18_nd.py']
model = _base_.pop('method')
model.distillers.feats.losses.loss_reviewkd.loss_weight = 3.0
model.distillers.logit.losses.loss_nd.loss_weight = 1.0
model.distillers.feats.taps.teacher = [
    'backbone.layer1.2.relu:input[-1]',
    'backbone.layer2.7.relu:input[-1]',
    'backbone.layer3.35.relu:input[-1]',
    'backbone.layer4.2.relu:input[-1]',
    'neck',
]

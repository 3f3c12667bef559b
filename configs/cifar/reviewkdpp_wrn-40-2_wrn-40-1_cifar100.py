"""ReviewKD++: WRN-40-2 -> WRN-40-1 on CIFAR-100."""

_base_ = ['_base_/reviewkdpp.py', '_base_/wrn-40-2_wrn-40-1_nd_cifar100.py']
model = _base_.pop('method')
model.distillers.feats.losses.loss_reviewkd.loss_weight = 5.0
model.distillers.logit.losses.loss_nd.loss_weight = 4.0
model.distillers.feats.taps.student = [
    'backbone.layer2.0.relu1',
    'backbone.layer3.0.relu1',
    'backbone.relu',
    'neck',
]
model.distillers.feats.taps.teacher = [
    'backbone.layer2.0.relu1:input',
    'backbone.layer3.0.relu1:input',
    'backbone.relu:input',
    'neck',
]

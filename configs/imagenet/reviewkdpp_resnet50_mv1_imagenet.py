"""ReviewKD++: ResNet-50 -> MobileNetV1 on ImageNet.

The command of the ND script has the weights 6 and 1.
"""

_base_ = ['_base_/reviewkdpp.py', '_base_/resnet50_mv1_nd.py']
model = _base_.pop('method')
model.distillers.feats.losses.loss_reviewkd.loss_weight = 8.0
model.distillers.logit.losses.loss_nd.loss_weight = 4.0
model.distillers.feats.taps.student = [
    'backbone.layer1.relu:input',
    'backbone.layer2.relu:input',
    'backbone.layer3.relu:input',
    'backbone.layer4.relu:input',
    'neck',
]
model.distillers.feats.connectors.student_feats.mid_channels = 256

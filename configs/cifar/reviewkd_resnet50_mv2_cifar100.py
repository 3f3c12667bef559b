"""ReviewKD: ResNet-50 -> MobileNetV2 on CIFAR-100."""

_base_ = ['_base_/reviewkd.py', '_base_/resnet50_mv2_cifar100.py']
model = _base_.pop('method')
model.distillers.feats.losses.loss_reviewkd.loss_weight = 8.0
model.distillers.feats.taps.student = [
    'backbone.blocks.1',
    'backbone.blocks.2',
    'backbone.blocks.4',
    'backbone.blocks.6',
    'neck',
]
model.distillers.feats.taps.teacher = [
    'backbone.layer1.relu:input',
    'backbone.layer2.relu:input',
    'backbone.layer3.relu:input',
    'backbone.layer4.relu:input',
    'neck',
]

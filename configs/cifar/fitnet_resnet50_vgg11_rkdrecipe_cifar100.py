"""FitNet: ResNet-50 -> VGG-11 on CIFAR-100, by the recipe of RKD."""

_base_ = ['_base_/fitnet.py', '_base_/resnet50_vgg11_rkd_cifar100.py']
model = _base_.pop('method')
model.distillers.feats.taps.student = [
    'backbone.block1',
]
model.distillers.feats.taps.teacher = [
    'backbone.layer2',
]

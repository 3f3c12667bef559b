"""IE-KD: ResNet-34 -> ResNet-18 on ImageNet."""

_base_ = ['_base_/iekd.py', '_base_/resnet34_resnet18.py']
model = _base_.pop('method')
model.distillers.factor.auto_encoder = (
    'data/auto_encoders/resnet34_imagenet.pth'
)

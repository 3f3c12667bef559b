"""IE-KD: ResNet-56 -> ResNet-8 on 480 images of CIFAR-10."""

_base_ = ['_base_/iekd_short.py', '_base_/resnet56_resnet8_short_cifar10.py']
model = _base_.pop('method')
model.distillers.factor.auto_encoder = (
    'data/auto_encoders/resnet56_pad_cifar10.pth'
)

"""IE-KD: ResNet-20 -> ResNet-56 on 480 images of CIFAR-10."""

_base_ = ['_base_/iekd_short.py', '_base_/resnet20_resnet56_short_cifar10.py']
model = _base_.pop('method')
model.distillers.factor.auto_encoder = (
    'data/auto_encoders/resnet20_pad_cifar10.pth'
)

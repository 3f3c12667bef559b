"""IE-KD: ResNet-56 -> ResNet-20 on CIFAR-100."""

_base_ = ['_base_/iekd.py', '_base_/resnet56_resnet20_ie_cifar100.py']
model = _base_.pop('method')
model.distillers.factor.auto_encoder = (
    'data/auto_encoders/resnet56_cifar100.pth'
)

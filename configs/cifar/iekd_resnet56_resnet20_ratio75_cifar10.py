"""IE-KD: ResNet-56 -> ResNet-20 on CIFAR-10, three quarters inherit."""

_base_ = './iekd_resnet56_resnet20_cifar10.py'
model = dict(distillers=dict(factor=dict(split=dict(ratio=0.75))))

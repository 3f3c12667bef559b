"""SD-KD: ResNet-32x4 -> ResNet-8x4 on CIFAR-100, grids (1, 4)."""

_base_ = './sdkd_resnet32x4_resnet8x4_cifar100.py'
model = dict(distillers=dict(logit=dict(scales=(1, 4))))

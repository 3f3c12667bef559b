"""SD-KD: ResNet-32x4 -> ShuffleNetV1 on CIFAR-100, grids (1, 4)."""

_base_ = './sdkd_resnet32x4_shufflev1_cifar100.py'
model = dict(distillers=dict(logit=dict(scales=(1, 4))))

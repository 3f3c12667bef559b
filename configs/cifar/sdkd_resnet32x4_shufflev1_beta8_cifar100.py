"""SD-KD: ResNet-32x4 -> ShuffleNetV1 on CIFAR-100, beta=8."""

_base_ = './sdkd_resnet32x4_shufflev1_cifar100.py'
model = dict(distillers=dict(logit=dict(losses=dict(loss_sdd=dict(beta=8.0)))))

"""SD-KD: ResNet-32x4 -> ResNet-8x4 on CIFAR-100, consistent regions."""

_base_ = './sdkd_resnet32x4_resnet8x4_cifar100.py'
model = dict(distillers=dict(logit=dict(losses=dict(loss_sdd=dict(beta=0.0)))))

"""ResNet-56 -> ResNet-8 on CIFAR-10 in 30 epochs."""

_base_ = './resnet56_resnet20_short_cifar10.py'
model = dict(
    student=dict(cfg='{{ fileDirname }}/../baseline_resnet8_short_cifar10.py')
)

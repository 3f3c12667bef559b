"""ResNet-56 -> ResNet-8 on 480 images of CIFAR-10."""

_base_ = './resnet56_resnet20_short_cifar10.py'
model = dict(
    student=dict(cfg='{{ fileDirname }}/../baseline_resnet8_short_cifar10.py')
)

"""ResNet-56 -> ResNet-8 on CIFAR-10 by ND's recipe."""

_base_ = './resnet56_resnet20_nd_cifar10.py'
model = dict(
    student=dict(
        cfg='{{ fileDirname }}/../baseline_resnet8_ndrecipe_cifar10.py'
    )
)

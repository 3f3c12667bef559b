"""ResNet-56 -> ResNet-8 on CIFAR-10, without a method.

The teacher is a public network with zero-padded shortcuts, see
`recipe_pad_cifar10.py`: put its file where `ckpt` says.
"""

_base_ = './resnet56_resnet20_cifar10.py'
model = dict(
    student=dict(cfg='{{ fileDirname }}/../baseline_resnet8_cifar10.py')
)

"""ResNet-20 -> ResNet-56 on 480 images of CIFAR-10, without a method.

The teacher is a public network with zero-padded shortcuts, see
`recipe_pad_cifar10.py`: put its file where `ckpt` says.
"""

_base_ = './recipe_short_cifar10.py'
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../baseline_resnet20_pad_cifar10.py',
        ckpt='data/teachers/resnet20-12fca82f.th',
        keys='akamaster',
        fuse_conv_bn=True,
        channels_last=True,
        dtype='bfloat16',
    ),
    student=dict(
        cfg='{{ fileDirname }}/../baseline_resnet56_short_cifar10.py'
    ),
)

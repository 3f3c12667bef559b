"""ResNet-56 -> ResNet-20 on CIFAR-10, by the recipe of IE-KD.

The teacher is a public network with zero-padded shortcuts, see
`recipe_pad_cifar10.py`: put its file where `ckpt` says.
"""

_base_ = './recipe_ie_cifar10.py'
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../baseline_resnet56_pad_cifar10.py',
        ckpt='data/teachers/resnet56-4bfd9763.th',
        keys='akamaster',
    ),
    student=dict(
        cfg='{{ fileDirname }}/../baseline_resnet20_ierecipe_cifar10.py'
    ),
)

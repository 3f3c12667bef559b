"""ResNet-56 -> ResNet-8 on CIFAR-10 in 30 epochs."""

_base_ = './recipe_short_cifar10.py'
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../baseline_resnet56_pad_cifar10.py',
        ckpt='data/teachers/resnet56-4bfd9763.th',
        keys='akamaster',
    ),
    student=dict(cfg='{{ fileDirname }}/../baseline_resnet8_short_cifar10.py'),
)

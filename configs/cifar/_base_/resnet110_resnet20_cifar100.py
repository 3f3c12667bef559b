"""ResNet-110 -> ResNet-20 on CIFAR-100, without a method."""

_base_ = './recipe_cifar100.py'
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../baseline_resnet110_cifar100.py',
        ckpt='work_dirs/baseline_resnet110_cifar100/epoch_240.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/../baseline_resnet20_cifar100.py'),
)

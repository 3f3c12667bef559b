"""WRN-40-4 -> WRN-16-4 on CIFAR-100, without a method."""

_base_ = './recipe_cifar100.py'
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../baseline_wrn-40-4_cifar100.py',
        ckpt='work_dirs/baseline_wrn-40-4_cifar100/epoch_240.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/../baseline_wrn-16-4_cifar100.py'),
)

"""WRN-40-2 -> WRN-40-1 on CIFAR-100, without a method."""

_base_ = './recipe_cifar100.py'
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../baseline_wrn-40-2_cifar100.py',
        ckpt='work_dirs/baseline_wrn-40-2_cifar100/epoch_240.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/../baseline_wrn-40-1_cifar100.py'),
)

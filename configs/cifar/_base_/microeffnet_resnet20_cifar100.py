"""MicroEffNet -> ResNet-20 on CIFAR-100, without a method."""

_base_ = './recipe_cifar100.py'
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../baseline_microeffnet_cifar100.py',
        ckpt='data/teachers/micro_effnet_cifar100.pth',
        keys='micro_effnet',
    ),
    student=dict(cfg='{{ fileDirname }}/../baseline_resnet20_cifar100.py'),
)

"""ResNet-56 -> ResNet-20 on CIFAR-100, by the recipe of IE-KD."""

_base_ = './recipe_ie_cifar100.py'
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../baseline_resnet56_cifar100.py',
        ckpt='work_dirs/baseline_resnet56_cifar100/epoch_240.pth',
    ),
    student=dict(
        cfg='{{ fileDirname }}/../baseline_resnet20_ierecipe_cifar100.py'
    ),
)

"""ResNet-32x4 -> VGG-8 on CIFAR-100, without a method."""

_base_ = './recipe_cifar100.py'
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../baseline_resnet32x4_cifar100.py',
        ckpt='work_dirs/baseline_resnet32x4_cifar100/epoch_240.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/../baseline_vgg8_cifar100.py'),
)

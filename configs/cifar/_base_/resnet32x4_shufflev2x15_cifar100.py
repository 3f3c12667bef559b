"""ResNet-32x4 -> ShuffleNetV2 x1.5 on CIFAR-100, without a method."""

_base_ = './recipe_mobile_cifar100.py'
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../baseline_resnet32x4_cifar100.py',
        ckpt='work_dirs/baseline_resnet32x4_cifar100/epoch_240.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/../baseline_shufflev2x15_cifar100.py'),
)

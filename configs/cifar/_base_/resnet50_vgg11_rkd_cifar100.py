"""ResNet-50 -> VGG-11 on CIFAR-100, by the recipe of RKD."""

_base_ = './recipe_rkd_cifar100.py'
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../baseline_resnet50_rkdrecipe_cifar100.py',
        ckpt='work_dirs/baseline_resnet50_rkdrecipe_cifar100/epoch_200.pth',
    ),
    student=dict(
        cfg='{{ fileDirname }}/../baseline_vgg11_rkdrecipe_cifar100.py'
    ),
)

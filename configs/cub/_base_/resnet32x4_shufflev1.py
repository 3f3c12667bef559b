"""ResNet-32x4 -> ShuffleNetV1 on CUB-200, without a method."""

_base_ = './recipe_mobile.py'
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../baseline_resnet32x4_cub200.py',
        ckpt='work_dirs/baseline_resnet32x4_cub200/epoch_240.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/../baseline_shufflev1_cub200.py'),
)

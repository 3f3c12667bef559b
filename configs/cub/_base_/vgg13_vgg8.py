"""VGG-13 -> VGG-8 on CUB-200, without a method."""

_base_ = './recipe.py'
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../baseline_vgg13_cub200.py',
        ckpt='work_dirs/baseline_vgg13_cub200/epoch_240.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/../baseline_vgg8_cub200.py'),
)

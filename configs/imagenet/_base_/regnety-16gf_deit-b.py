"""RegNetY-16GF -> DeiT-B on ImageNet.

The student is the control with a distillation token. The teacher has
torchvision's second weights (82.9 top-1); the ND script's, of DeiT's authors,
have another layout.
"""

_base_ = './recipe_deit.py'
custom_imports = dict(imports=['kd_det.compat.deit'])
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../baseline_regnety-16gf_imagenet.py',
        ckpt='https://download.pytorch.org/models/regnet_y_16gf-3e4a00f9.pth',
        keys='torchvision',
    ),
    student=dict(
        cfg='{{ fileDirname }}/../baseline_deit-b_imagenet.py',
        backbone=dict(type='DistilledVisionTransformer'),
        head=dict(type='DistilledDeiTHead'),
    ),
)

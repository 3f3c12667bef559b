"""ResNet-50 (512) -> ResNet-18 on CUB-200, without a method.

The student has no loss of its own: unless the method adds one, the labels
are not used.
"""

_base_ = ['./cub200.py', './student_80e.py']
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../triplet_resnet50-512_cub200.py',
        ckpt='work_dirs/triplet_resnet50-512_cub200/epoch_40.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/resnet18.py'),
)

"""ResNet-50 (512) -> ResNet-50 on SOP, without a method.

The student has no loss of its own: unless the method adds one, the labels
are not used.
"""

_base_ = ['./sop_500.py', './student_120e.py']
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../triplet_resnet50-512_sop.py',
        ckpt='work_dirs/triplet_resnet50-512_sop/epoch_40.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/resnet50.py'),
)

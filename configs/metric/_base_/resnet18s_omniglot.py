"""slim ResNet-18 (64) -> slim ResNet-18 on Omniglot, without a method.

The student has no loss of its own: unless the method adds one, the labels
are not used.
"""

_base_ = ['./omniglot.py', './omniglot_student_20e.py']
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../triplet_resnet18s-64_omniglot.py',
        ckpt='work_dirs/triplet_resnet18s-64_omniglot/epoch_20.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/resnet18s.py'),
)

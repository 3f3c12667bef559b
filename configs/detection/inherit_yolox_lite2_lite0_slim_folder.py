"""Inheritance alone: slim YOLOX Lite2 -> Lite0, 8 epochs.

The student starts from the teacher's neck and head.
"""

_base_ = './inherit_gfl_lite2_lite0_slim_folder.py'
model = dict(
    teacher=dict(
        cfg='{{ fileDirname }}/baseline_yolox_lite2_slim_folder.py',
        ckpt='work_dirs/baseline_yolox_lite2_slim_folder/epoch_16.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/baseline_yolox_lite0_slim_folder.py'),
)

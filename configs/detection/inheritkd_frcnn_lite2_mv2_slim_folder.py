"""Inheritance, then KD of RoI logits: slim Faster R-CNN Lite2 -> MobileNetV2.

The student's backbone has ImageNet weights; 8 epochs.
"""

_base_ = './inheritkd_frcnn_lite2_lite0_slim_folder.py'
model = dict(
    student=dict(cfg='{{ fileDirname }}/baseline_frcnn_mv2_slim_folder.py')
)
find_unused_parameters = True  # see baseline_frcnn_mv2.py

"""Inheritance, then KD of RoI logits: slim Faster R-CNN Lite2 -> R-18.

The student's backbone is randomly initialised; 8 epochs.
"""

_base_ = './inheritkd_frcnn_lite2_lite0_slim_folder.py'
model = dict(
    student=dict(cfg='{{ fileDirname }}/baseline_frcnn_r18_slim_folder.py')
)

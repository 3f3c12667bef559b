"""KD of RoI logits: slim Faster R-CNN Lite2 -> half R-18, 8 epochs.

The student's backbone begins from random weights.
"""

_base_ = './kd_frcnn_lite2_lite0_slim_folder.py'
model = dict(
    student=dict(cfg='{{ fileDirname }}/baseline_frcnn_r18half_slim_folder.py')
)

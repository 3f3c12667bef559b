"""Inheritance, then PKD on the FPN: slim Faster R-CNN Lite2 -> half R-18.

The student's backbone is randomly initialised; 8 epochs.
"""

_base_ = [
    './pkd_frcnn_lite2_lite0_slim_folder.py',
    '../_base_/methods/inherit_roi.py',
]
model = dict(
    student=dict(
        cfg='{{ fileDirname }}/baseline_frcnn_r18half_slim_folder.py',
        **_base_.pop('method').student,
    )
)

"""Bounded regression with KD: slim Faster R-CNN Lite2 -> Lite0, 8 epochs."""

_base_ = [
    './kd_frcnn_lite2_lite0_slim_folder.py',
    '../_base_/methods/bounded_roi.py',
]
model = _base_.pop('method')

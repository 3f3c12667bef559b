"""The demo's recommended student with additional KD."""

_base_ = [
    './kd_frcnn_lite2_lite0_demo_shapes.py',
    '../_base_/methods/stitch_roi.py',
]
model = dict(student=_base_.pop('method').student)

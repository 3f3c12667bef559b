"""The demo's recommended student: the teacher's neck and heads, then KD."""

_base_ = [
    './kd_frcnn_lite2_lite0_demo_shapes.py',
    '../_base_/methods/inherit_roi.py',
]
model = dict(student=_base_.pop('method').student)

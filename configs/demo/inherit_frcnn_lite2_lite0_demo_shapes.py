"""The demo's student with the teacher's neck and heads (inheritance)."""

_base_ = [
    './kd_frcnn_lite2_lite0_demo_shapes.py',
    '../_base_/methods/inherit_roi.py',
]
model = dict(
    student=_base_.pop('method').student, distillers=dict(_delete_=True)
)

"""The demo's recommended student: inheritance with stitching."""

_base_ = './inherit_frcnn_lite2_lite0_demo_shapes.py'
model = dict(student=dict(stitch=True))

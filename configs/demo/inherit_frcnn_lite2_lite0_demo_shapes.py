"""The demo's student that begins with the teacher's neck and heads."""

_base_ = './inheritkd_frcnn_lite2_lite0_demo_shapes.py'
model = dict(distillers=dict(_delete_=True))

"""The demo's student with CWD on the FPN."""

_base_ = [
    './kd_frcnn_lite2_lite0_demo_shapes.py',
    '../_base_/methods/cwd.py',
]
model = dict(distillers=dict(_delete_=True, **_base_.pop('method').distillers))

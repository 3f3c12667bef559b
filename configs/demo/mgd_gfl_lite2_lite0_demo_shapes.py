"""The demo's GFL student with MGD on the FPN."""

_base_ = [
    './kd_gfl_lite2_lite0_demo_shapes.py',
    '../_base_/methods/mgd.py',
]
model = dict(distillers=dict(_delete_=True, **_base_.pop('method').distillers))

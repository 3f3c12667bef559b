"""The demo's student with SDD on RoIs, using KD."""

_base_ = [
    './kd_frcnn_lite2_lite0_demo_shapes.py',
    '../_base_/methods/sddkd_roi.py',
]
model = dict(distillers=dict(_delete_=True, **_base_.pop('method').distillers))

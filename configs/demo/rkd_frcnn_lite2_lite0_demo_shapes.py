"""The demo's student with RKD-DA on foreground embeddings."""

_base_ = [
    './kd_frcnn_lite2_lite0_demo_shapes.py',
    '../_base_/methods/rkd_roi.py',
]
model = dict(distillers=dict(_delete_=True, **_base_.pop('method').distillers))

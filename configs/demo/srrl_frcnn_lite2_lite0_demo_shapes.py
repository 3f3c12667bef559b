"""The demo's student with SRRL on RoI embeddings."""

_base_ = [
    './kd_frcnn_lite2_lite0_demo_shapes.py',
    '../_base_/methods/srrl_roi.py',
]
model = dict(distillers=dict(_delete_=True, **_base_.pop('method').distillers))

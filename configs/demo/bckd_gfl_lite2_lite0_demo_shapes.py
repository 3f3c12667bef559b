"""The demo's GFL student with BCKD, weights of the authors' GFL."""

_base_ = [
    './kd_gfl_lite2_lite0_demo_shapes.py',
    '../_base_/methods/bckd_dense.py',
]
model = dict(distillers=dict(_delete_=True, **_base_.pop('method').distillers))

"""The demo's GFL student with CrossKD, weights of the authors' GFL."""

_base_ = [
    './kd_gfl_lite2_lite0_demo_shapes.py',
    '../_base_/methods/crosskd_dense.py',
]
_base_.method.distillers.dense.losses.update(
    loss_box=dict(type='CrossKDBoxLoss', loss_weight=2.0),
    loss_edge=dict(type='CrossKDEdgeLoss', loss_weight=3.0),
)
model = dict(distillers=dict(_delete_=True, **_base_.pop('method').distillers))

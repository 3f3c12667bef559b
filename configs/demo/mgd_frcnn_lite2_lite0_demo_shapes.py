"""The demo's student with MGD on the FPN, weights for two stages."""

_base_ = [
    './kd_frcnn_lite2_lite0_demo_shapes.py',
    '../_base_/methods/mgd.py',
]
_base_.method.distillers.feats.update(
    connectors=dict(student_feats=dict(type='MGDConnector', mask_ratio=0.45)),
    losses=dict(loss_mgd=dict(type='MGDLoss', loss_weight=5e-7)),
)
model = dict(distillers=dict(_delete_=True, **_base_.pop('method').distillers))

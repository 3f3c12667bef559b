"""The demo's student with FGD on the FPN, weights for two stages."""

_base_ = [
    './kd_frcnn_lite2_lite0_demo_shapes.py',
    '../_base_/methods/fgd.py',
]
_base_.method.distillers.feats.losses = dict(
    loss_focal=dict(type='FGDFocalLoss', alpha=5e-5, beta=2.5e-5),
    loss_attention=dict(type='FGDAttentionLoss', loss_weight=5e-5),
    loss_global=dict(type='FGDGlobalLoss', loss_weight=5e-7),
)
model = dict(distillers=dict(_delete_=True, **_base_.pop('method').distillers))

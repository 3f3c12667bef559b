"""MGD on the FPN: slim Faster R-CNN Lite2 -> Lite0, 8 epochs.

The weights are the paper's for two-stage detectors.
"""

_base_ = [
    './kd_frcnn_lite2_lite0_slim_folder.py',
    '../_base_/methods/mgd.py',
]
_base_.method.distillers.feats.update(
    connectors=dict(student_feats=dict(type='MGDConnector', mask_ratio=0.45)),
    losses=dict(loss_mgd=dict(type='MGDLoss', loss_weight=5e-7)),
)
model = dict(distillers=dict(_delete_=True, **_base_.pop('method').distillers))

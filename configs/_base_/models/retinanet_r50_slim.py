"""RetinaNet R-50, slim like `frcnn_r50_slim.py`; FPN and towers 64 wide."""

_base_ = 'mmdet::_base_/models/retinanet_r50_fpn.py'
model = dict(
    backbone=dict(
        frozen_stages=-1,
        norm_eval=False,
        norm_cfg=dict(requires_grad=True),
        init_cfg=None,
    ),
    neck=dict(out_channels=64),
    bbox_head=dict(in_channels=64, feat_channels=64),
)

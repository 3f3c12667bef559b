"""Faster R-CNN MobileNetV2 on the slim plan of `frcnn_r50_slim.py`.

The ImageNet weights are MMPretrain's, which are downloaded once.
"""

_base_ = './frcnn_r50_slim.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.MobileNetV2',
        out_indices=(1, 2, 4, 6),
        init_cfg=dict(type='Pretrained', checkpoint='mmcls://mobilenet_v2'),
    ),
    neck=dict(in_channels=[24, 32, 96, 320]),
)

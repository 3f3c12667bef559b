"""Faster R-CNN MobileNetV2, slim like `frcnn_r50_slim.py`.

It uses ImageNet weights, which are downloaded once.
"""

_base_ = './frcnn_r50_slim.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='MobileNetV2',
        out_indices=(1, 2, 4, 6),
        init_cfg=dict(
            type='Pretrained', checkpoint='open-mmlab://mmdet/mobilenet_v2'
        ),
    ),
    neck=dict(in_channels=[24, 32, 96, 320]),
)

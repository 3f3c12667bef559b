"""Baseline: RetinaNet R-18 alone, COCO 1x; the student of its pairs."""

_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    './_base_/datasets/coco.py',
    './_base_/schedules/schedule_1x_dense.py',
    './_base_/default_runtime.py',
]
model = dict(
    backbone=dict(
        depth=18, init_cfg=dict(checkpoint='torchvision://resnet18')
    ),
    neck=dict(in_channels=[64, 128, 256, 512]),
)

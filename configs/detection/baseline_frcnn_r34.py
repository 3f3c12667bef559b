"""Baseline: Faster R-CNN R-34 alone, COCO 1x; like R-18, but deeper."""

_base_ = '../baseline_frcnn_r18.py'
model = dict(
    backbone=dict(
        depth=34, init_cfg=dict(checkpoint='torchvision://resnet34')
    ),
)

"""Baseline: Faster R-CNN R-18 alone, COCO 1x.

The student of the r101_r18 runs is this very file. As in the ND authors'
configs, stem and first stage are frozen and batch norm keeps the statistics
of ImageNet; unlike there, its scale and shift are trained, as in MMDetection.
"""

_base_ = './baseline_frcnn_r50.py'
model = dict(
    backbone=dict(
        depth=18, init_cfg=dict(checkpoint='torchvision://resnet18')
    ),
    neck=dict(in_channels=[64, 128, 256, 512]),
)

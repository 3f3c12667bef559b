"""Faster R-CNN R-18, slim like `frcnn_r50_slim.py`."""

_base_ = './frcnn_r50_slim.py'
model = dict(
    backbone=dict(depth=18), neck=dict(in_channels=[64, 128, 256, 512])
)

"""Baseline: YOLOX of half the width of YOLOX-nano, from random weights."""

_base_ = './baseline_yolox_nano_folder.py'
model = dict(
    backbone=dict(widen_factor=0.125),
    neck=dict(in_channels=[32, 64, 128], out_channels=32),
    bbox_head=dict(in_channels=32, feat_channels=32),
)

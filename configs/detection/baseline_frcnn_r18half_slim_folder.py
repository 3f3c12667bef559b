"""Baseline: slim Faster R-CNN with a half-width R-18 alone, 8 epochs.

The backbone has random weights, like a custom backbone.
"""

_base_ = './baseline_frcnn_r18_slim_folder.py'
model = dict(
    backbone=dict(base_channels=32), neck=dict(in_channels=[32, 64, 128, 256])
)

"""Control: slim Faster R-CNN on an R-18 of half the width alone, 8 epochs.

From random weights, as a backbone of one's own begins.
"""

_base_ = './baseline_frcnn_r18_slim_folder.py'
model = dict(
    backbone=dict(base_channels=32), neck=dict(in_channels=[32, 64, 128, 256])
)

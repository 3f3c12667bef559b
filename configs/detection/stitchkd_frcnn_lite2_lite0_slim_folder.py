"""Inheritance with stitching, then KD: slim Faster R-CNN Lite2 -> Lite0."""

_base_ = './inheritkd_frcnn_lite2_lite0_slim_folder.py'
model = dict(student=dict(stitch=True))

"""Stitched inheritance, then PKD on the FPN: slim Faster R-CNN Lite2 -> half
R-18.

The student's backbone begins from random weights; 8 epochs.
"""

_base_ = './inheritpkd_frcnn_lite2_r18half_slim_folder.py'
model = dict(student=dict(stitch=True))

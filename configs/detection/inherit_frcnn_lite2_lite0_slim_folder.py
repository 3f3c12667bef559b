"""Inheritance alone: slim Faster R-CNN Lite2 -> Lite0, 8 epochs.

The student starts from the teacher's neck, RPN and box head.
"""

_base_ = './inheritkd_frcnn_lite2_lite0_slim_folder.py'
model = dict(distillers=dict(_delete_=True))

"""Inheritance with stitching: slim Faster R-CNN Lite2 -> Lite0, 8 epochs.

The student starts from the teacher's neck, RPN and box head, and the layers
that follow its backbone are fitted to the teacher's.
"""

_base_ = './inherit_frcnn_lite2_lite0_slim_folder.py'
model = dict(student=dict(stitch=True))

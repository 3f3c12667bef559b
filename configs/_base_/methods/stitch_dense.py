"""Stitched inheritance for a one-stage detector.

The student starts from the teacher's neck and head, fitted to the student's
backbone with one pass over the training images.
"""

method = dict(student=dict(inherit=('neck', 'bbox_head'), stitch=True))

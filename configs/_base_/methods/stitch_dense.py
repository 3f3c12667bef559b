"""Stitched inheritance: neck and head of the teacher, fitted to the
student's backbone by one pass over the training images."""

method = dict(student=dict(inherit=('neck', 'bbox_head'), stitch=True))

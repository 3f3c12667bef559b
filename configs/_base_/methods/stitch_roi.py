"""Stitched inheritance: neck and heads of the teacher, fitted to the
student's backbone by one pass over the training images."""

method = dict(
    student=dict(inherit=('neck', 'rpn_head', 'roi_head'), stitch=True)
)

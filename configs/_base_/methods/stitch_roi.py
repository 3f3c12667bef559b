"""Stitched inheritance for a two-stage detector.

The student starts from the teacher's neck and heads, fitted to the student's
backbone with one pass over the training images.
"""

method = dict(
    student=dict(inherit=('neck', 'rpn_head', 'roi_head'), stitch=True)
)

"""Inheritance: the student starts from the teacher's neck and heads."""

method = dict(student=dict(inherit=('neck', 'rpn_head', 'roi_head')))

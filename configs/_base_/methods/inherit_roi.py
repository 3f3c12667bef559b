"""Inheritance: the student begins with the teacher's neck and heads."""

method = dict(student=dict(inherit=('neck', 'rpn_head', 'roi_head')))

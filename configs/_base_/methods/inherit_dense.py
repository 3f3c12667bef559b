"""Inheritance: the student starts from the teacher's neck and head."""

method = dict(student=dict(inherit=('neck', 'bbox_head')))

"""Inheritance: the student begins with the teacher's neck and head."""

method = dict(student=dict(inherit=('neck', 'bbox_head')))

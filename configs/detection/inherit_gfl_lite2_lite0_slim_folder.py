"""Inheritance alone: slim GFL Lite2 -> Lite0, 8 epochs.

The student starts from the teacher's neck and head.
"""

_base_ = './inheritkd_gfl_lite2_lite0_slim_folder.py'
model = dict(distillers=dict(_delete_=True))

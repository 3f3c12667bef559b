"""Inheritance alone: slim GFL R-50 -> R-18 on playing cards.

The student starts from the teacher's neck and head; 8 epochs, with the
baseline's data and schedule.
"""

_base_ = [
    './kd_gfl_r50_r18_slim_cards.py',
    '../_base_/methods/inherit_dense.py',
]
model = dict(
    student=_base_.pop('method').student, distillers=dict(_delete_=True)
)

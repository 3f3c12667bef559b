"""Inheritance alone: slim Faster R-CNN R-50 -> R-18 on playing cards.

The student starts from the teacher's neck, RPN and box head; 8 epochs, with
the baseline's data and schedule.
"""

_base_ = [
    './kd_frcnn_r50_r18_slim_cards.py',
    '../_base_/methods/inherit_roi.py',
]
model = dict(
    student=_base_.pop('method').student, distillers=dict(_delete_=True)
)

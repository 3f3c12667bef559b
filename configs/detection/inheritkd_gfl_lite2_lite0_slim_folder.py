"""Inheritance, then KD of dense logits: slim GFL Lite2 -> Lite0, 8 epochs.

The student starts from the teacher's neck and head.
"""

_base_ = [
    './kd_gfl_lite2_lite0_slim_folder.py',
    '../_base_/methods/inherit_dense.py',
]
model = dict(student=_base_.pop('method').student)

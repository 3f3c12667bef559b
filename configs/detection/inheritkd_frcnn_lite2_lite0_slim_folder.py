"""Inheritance and KD of RoI logits: slim Faster R-CNN Lite2 -> Lite0.

8 epochs. The student starts from the teacher's neck, RPN and box head.
"""

_base_ = [
    './kd_frcnn_lite2_lite0_slim_folder.py',
    '../_base_/methods/inherit_roi.py',
]
model = dict(student=_base_.pop('method').student)

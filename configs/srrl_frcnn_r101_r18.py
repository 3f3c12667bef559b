"""SRRL on RoI embeddings: Faster R-CNN R-101 -> R-18, COCO 1x.

The student's shared feature goes through an adaptor into the teacher's frozen
classification layer. No paper distils detectors this way. The weights are
those of SRRL for classifiers: check the losses of the first steps, since both
terms grow with the square of the teacher's embeddings and logits.
"""

_base_ = [
    './_base_/models/frcnn_r101_r18.py',
    './_base_/methods/srrl_roi.py',
    './_base_/datasets/coco.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    './_base_/distill_runtime.py',
]
model = _base_.pop('method')

"""SDD on boxes (SD-KD): RetinaNet R-101 -> R-18, COCO 1x.

Our own: the SDD paper distils classifiers. The logit maps are averaged over
each annotated box and over its quarters; beta is the paper's 2.
"""

_base_ = [
    './_base_/models/retinanet_r101_r18.py',
    './_base_/methods/sddkd_dense.py',
    './_base_/datasets/coco.py',
    './_base_/schedules/schedule_1x_dense.py',
    './_base_/distill_runtime.py',
]
model = _base_.pop('method')

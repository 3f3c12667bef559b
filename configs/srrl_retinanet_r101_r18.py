"""SRRL at foreground locations: RetinaNet R-101 -> R-18, COCO 1x.

Our own: the SRRL paper distils classifiers. The weights are those for
classifiers, untuned: check the losses of the first steps.
"""

_base_ = [
    './_base_/models/retinanet_r101_r18.py',
    './_base_/methods/srrl_dense.py',
    './_base_/datasets/coco.py',
    './_base_/schedules/schedule_1x_dense.py',
    './_base_/distill_runtime.py',
]
model = _base_.pop('method')

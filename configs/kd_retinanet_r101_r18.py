"""KD of dense logits: RetinaNet R-101 -> R-18, COCO 1x.

Our own: KD of the sigmoid of each class at each location, normalised by the
number of foreground locations, see `DenseKDLoss`. The weight is untuned.
"""

_base_ = [
    './_base_/models/retinanet_r101_r18.py',
    './_base_/methods/kd_dense.py',
    './_base_/datasets/coco.py',
    './_base_/schedules/schedule_1x_dense.py',
    './_base_/distill_runtime.py',
]
model = _base_.pop('method')

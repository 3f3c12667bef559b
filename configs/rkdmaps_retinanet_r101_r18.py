"""RKD-DA between positions of the FPN: RetinaNet R-101 -> R-18, COCO 1x.

Relations are computed between 128 cells per level, over all images on one
GPU, excluding padding. No paper distils detectors this way; the weights are
ours, untuned.
"""

_base_ = [
    './_base_/models/retinanet_r101_r18.py',
    './_base_/methods/rkd_maps.py',
    './_base_/datasets/coco.py',
    './_base_/schedules/schedule_1x_dense.py',
    './_base_/distill_runtime.py',
]
model = _base_.pop('method')

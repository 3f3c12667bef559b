"""ND with KD at foreground locations: GFL R-101 -> R-18, COCO 1x.

Our own: the ND paper has no one-stage detectors. The weight is that of its
Faster R-CNN R18-R101; the class means are computed over the foreground
locations of the teacher's assigner.
"""

_base_ = [
    './_base_/models/gfl_r101_r18.py',
    './_base_/methods/nd_dense.py',
    './_base_/datasets/coco.py',
    './_base_/schedules/schedule_1x_dense.py',
    './_base_/distill_runtime.py',
]
model = _base_.pop('method')
model.distillers.dense.centroids = 'data/centroids/gfl_r101_coco.npz'

"""SDD on RoIs (SD-KD): Faster R-CNN R-101 -> R-18, COCO 1x.

Ours: the SDD paper distils classifiers. The whole of each RoI and, of RoIs
on objects, its quarters go through both box heads; beta is the paper's 2,
the base is KD at temperature 1 as in `kd_frcnn_r101_r18.py`.
"""

_base_ = [
    './_base_/models/frcnn_r101_r18.py',
    './_base_/methods/sddkd_roi.py',
    './_base_/datasets/coco.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    './_base_/distill_runtime.py',
]
model = _base_.pop('method')

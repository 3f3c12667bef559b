"""SDD on RoIs (SD-KD): Faster R-CNN R-101 -> R-18, COCO 1x.

Our own: the SDD paper distils classifiers. Each whole RoI and the quarters of
foreground RoIs go through both box heads; beta is the paper's 2, and the base
loss is KD at temperature 1 as in `kd_frcnn_r101_r18.py`.
"""

_base_ = [
    './_base_/models/frcnn_r101_r18.py',
    './_base_/methods/sddkd_roi.py',
    './_base_/datasets/coco.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    './_base_/distill_runtime.py',
]
model = _base_.pop('method')

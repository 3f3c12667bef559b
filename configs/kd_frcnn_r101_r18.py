"""KD of RoI logits: Faster R-CNN R-101 -> R-18, COCO 1x.

The ablation of `nd_frcnn_r101_r18.py` without ND; see that config.
"""

_base_ = [
    './_base_/models/frcnn_r101_r18.py',
    './_base_/methods/kd_roi.py',
    './_base_/datasets/coco.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    './_base_/distill_runtime.py',
]
model = _base_.pop('method')

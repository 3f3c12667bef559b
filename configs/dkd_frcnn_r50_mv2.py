"""DKD of RoI logits: Faster R-CNN R-50 -> MobileNetV2, COCO 1x.

Weights and temperature are the DKD authors' for detectors; see
`nd_frcnn_r101_r18.py` for pair and schedule.
"""

_base_ = [
    './_base_/models/frcnn_r50_mv2.py',
    './_base_/methods/dkd.py',
    './_base_/datasets/coco.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    './_base_/distill_runtime.py',
]
model = _base_.pop('method')

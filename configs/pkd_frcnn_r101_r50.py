"""PKD on the FPN: Faster R-CNN R-101 -> R-50, COCO 1x.

The weight is that of PKD's recipe for Faster R-CNN R-101 -> R-50, which uses
four FPN levels and a 2x schedule; here all five levels are compared.
"""

_base_ = [
    './_base_/models/frcnn_r101_r50.py',
    './_base_/methods/pkd.py',
    './_base_/datasets/coco.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    './_base_/distill_runtime.py',
]
model = _base_.pop('method')

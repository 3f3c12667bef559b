"""IE-KD on the FPN: Faster R-CNN R-101 -> R-18, COCO 1x.

An extension: the paper's detector has no FPN. The weights are ours, untested
at this size.
"""

_base_ = [
    './_base_/models/frcnn_r101_r18.py',
    './_base_/methods/iekd.py',
    './_base_/datasets/coco.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    './_base_/factor_runtime.py',
]
model = _base_.pop('method')
model.distillers.factor.auto_encoder = 'data/auto_encoders/frcnn_r101_coco.pth'
_base_.pop('method_hooks')  # factor_runtime.py has them

"""ReviewKD on the FPN: Faster R-CNN R-101 -> R-50, COCO 1x.

Levels, channels and weight are those of the ND authors' plain ReviewKD for
R50-R101; see `nd_frcnn_r101_r18.py` for other differences from their code.
"""

_base_ = [
    './_base_/models/frcnn_r101_r50.py',
    './_base_/methods/reviewkd.py',
    './_base_/datasets/coco.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    './_base_/distill_runtime.py',
]
model = _base_.pop('method')
model.distillers.feats.losses.loss_reviewkd.loss_weight = 1.0

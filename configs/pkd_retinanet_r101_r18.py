"""PKD on the FPN: RetinaNet R-101 -> R-18, COCO 1x.

The weight is that of PKD's recipe for one-stage detectors, which uses four
FPN levels and a 2x schedule; here all five levels are compared.
"""

_base_ = [
    './_base_/models/retinanet_r101_r18.py',
    './_base_/methods/pkd.py',
    './_base_/datasets/coco.py',
    './_base_/schedules/schedule_1x_dense.py',
    './_base_/distill_runtime.py',
]
model = _base_.pop('method')
model.distillers.feats.losses.loss_pkd.loss_weight = 10.0

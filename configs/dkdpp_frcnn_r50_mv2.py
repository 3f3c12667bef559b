"""DKD++ (DKD and ND) on RoIs: Faster R-CNN R-50 -> MobileNetV2, COCO 1x.

DKD as in `dkd_frcnn_r50_mv2.py`. The ND paper has no DKD++ for detectors: the
weight of ND is that of its KD++ for MV2-R50.
"""

_base_ = [
    './_base_/models/frcnn_r50_mv2.py',
    './_base_/methods/dkdpp.py',
    './_base_/datasets/coco.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    './_base_/distill_runtime.py',
]
model = _base_.pop('method')
model.distillers.roi.losses.loss_nd.loss_weight = 1.0
model.distillers.roi.centroids = 'data/centroids/frcnn_r50_coco.npz'

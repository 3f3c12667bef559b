"""RKD-DA on foreground embeddings: Faster R-CNN R-101 -> R-18, COCO 1x.

Relations are computed between the foreground RoIs of all images on one GPU,
without duplicates, at most 128. No paper distils detectors this way. Both
terms together are about a tenth of the detection losses: on blood cells, with
slim networks, 9 % at the start of training and 13 % at the end.
"""

_base_ = [
    './_base_/models/frcnn_r101_r18.py',
    './_base_/methods/rkd_roi.py',
    './_base_/datasets/coco.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    './_base_/distill_runtime.py',
]
model = _base_.pop('method')

"""RKD-DA on the embeddings of objects: Faster R-CNN R-101 -> R-18, COCO 1x.

A group are the RoIs on objects of a GPU's images, without duplicates, 128 at
most. No paper distils detectors this way. Both terms together are about a
tenth of the detection losses: on blood cells, with slim networks, 9 % of
those of a student that begins and 13 % of those of one that has learnt.
"""

_base_ = [
    './_base_/models/frcnn_r101_r18.py',
    './_base_/methods/rkd_roi.py',
    './_base_/datasets/coco.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    './_base_/distill_runtime.py',
]
model = _base_.pop('method')

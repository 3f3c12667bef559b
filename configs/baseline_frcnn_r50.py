"""Baseline: Faster R-CNN R-50 alone, COCO 1x; MMDetection's own, unchanged."""

_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    './_base_/datasets/coco.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    './_base_/default_runtime.py',
]

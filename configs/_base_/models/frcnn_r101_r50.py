"""The pair Faster R-CNN R-101 -> R-50 on COCO, without a method."""

_base_ = './frcnn_r101_r18.py'
model = dict(student=dict(cfg='{{ fileDirname }}/../../baseline_frcnn_r50.py'))

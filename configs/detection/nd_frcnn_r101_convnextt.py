"""ND with KD (KD++) on RoIs: Faster R-CNN R-101 -> ConvNeXt-T, COCO 1x."""

_base_ = './nd_frcnn_r101_swint.py'
model = dict(student=dict(cfg='{{ fileDirname }}/baseline_frcnn_convnextt.py'))

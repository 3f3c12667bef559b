"""ND with KD (KD++) on RoIs: Faster R-CNN R-101 -> R-34, COCO 1x.

The authors have no such pair; weights and schedule are those of their R-18.
"""

_base_ = '../nd_frcnn_r101_r18.py'
model = dict(student=dict(cfg='{{ fileDirname }}/baseline_frcnn_r34.py'))

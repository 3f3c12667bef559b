"""ND with KD (KD++) on RoIs: Faster R-CNN R-101 -> MobileNetV2, COCO 1x.

The authors distil MobileNetV2 from an R-50 (`nd_frcnn_r50_mv2.py`); this is
the same student with the stronger teacher.
"""

_base_ = '../nd_frcnn_r101_r18.py'
model = dict(student=dict(cfg='{{ fileDirname }}/../baseline_frcnn_mv2.py'))
find_unused_parameters = True  # see the student's config

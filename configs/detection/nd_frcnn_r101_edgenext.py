"""ND with KD (KD++) on RoIs: Faster R-CNN R-101 -> EdgeNeXt, COCO 1x.

EdgeNeXt-Small is timm's: `pip install timm`.
"""

_base_ = './nd_frcnn_r101_swint.py'
model = dict(student=dict(cfg='{{ fileDirname }}/baseline_frcnn_edgenext.py'))

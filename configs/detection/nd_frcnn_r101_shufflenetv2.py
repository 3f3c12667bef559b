"""ND with KD (KD++) on RoIs: Faster R-CNN R-101 -> ShuffleNetV2, COCO 1x.

The student's pyramid starts at stride 8 and the teacher's at 4: each network
pools the same RoIs from its own levels.
"""

_base_ = '../nd_frcnn_r101_r18.py'
model = dict(
    student=dict(cfg='{{ fileDirname }}/baseline_frcnn_shufflenetv2.py')
)

"""ND with KD (KD++) on RoIs: Faster R-CNN R-101 -> Swin-T, COCO 1x.

A transformer student with a convolutional teacher; AdamW as in its baseline.
"""

_base_ = '../nd_frcnn_r101_r50.py'
model = dict(student=dict(cfg='{{ fileDirname }}/baseline_frcnn_swint.py'))
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0),
)

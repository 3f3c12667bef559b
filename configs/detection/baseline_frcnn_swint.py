"""Baseline: Faster R-CNN Swin-T alone, COCO 1x.

Nothing is frozen. AdamW with the learning rate of MMDetection's Swin configs;
no weight decay for norms.
"""

_base_ = '../baseline_frcnn_r50.py'
model = dict(
    backbone=dict(_delete_=True, type='SwinTransformer', convert_weights=True,
        init_cfg=dict(type='Pretrained', checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.0/swin_tiny_patch4_window7_224.pth')),  # noqa: E501
    neck=dict(in_channels=[96, 192, 384, 768]))  # fmt: skip
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0))  # fmt: skip

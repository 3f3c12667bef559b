"""Baseline: Faster R-CNN ConvNeXt-T alone, COCO 1x.

MMPretrain's network with the weights used by MMDetection's ConvNeXt configs.
Nothing is frozen; the optimiser is the same as for Swin-T.
"""

_base_ = './baseline_frcnn_swint.py'
model = dict(
    backbone=dict(_delete_=True, type='mmpretrain.ConvNeXt', arch='tiny',
        out_indices=(0, 1, 2, 3), gap_before_final_norm=False,
        drop_path_rate=0.1, init_cfg=dict(type='Pretrained',
            prefix='backbone.', checkpoint='https://mmassets.onedl.ai/mmclassification/v0/convnext/downstream/convnext-tiny_3rdparty_32xb128-noema_in1k_20220301-795e9634.pth')),  # noqa: E501
    neck=dict(in_channels=[96, 192, 384, 768]))  # fmt: skip

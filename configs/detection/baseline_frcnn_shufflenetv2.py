"""Baseline: Faster R-CNN ShuffleNetV2 1.0x alone, COCO 1x.

MMPretrain's network has no feature map with stride 4, so the pyramid has
strides 8 to 128; anchors of 4 strides then have the same sizes as for R-50, 32
to 512 pixels. Batch norm keeps its ImageNet statistics; its scale and shift,
like all other weights, are trained. The map with stride 32 is the output of
the last convolution.
"""

_base_ = '../baseline_frcnn_r50.py'
model = dict(
    backbone=dict(_delete_=True, type='mmpretrain.ShuffleNetV2',
        norm_eval=True, out_indices=(0, 1, 3), init_cfg=dict(type='Pretrained',
            prefix='backbone.', checkpoint='https://mmassets.onedl.ai/mmclassification/v0/shufflenet_v2/shufflenet_v2_batch1024_imagenet_20200812-5bf4721e.pth')),  # noqa: E501
    roi_head=dict(bbox_roi_extractor=dict(featmap_strides=[8, 16, 32])),
    neck=dict(in_channels=[116, 232, 1024]), rpn_head=dict(anchor_generator=
        dict(scales=[4], strides=[8, 16, 32, 64, 128])))  # fmt: skip

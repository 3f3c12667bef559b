"""Baseline: Faster R-CNN with timm's EdgeNeXt-Small alone, COCO 1x.

Any timm network that supports `features_only` can be used in this way; select
the feature maps with strides 4 to 32 in `out_indices`. timm downloads the
weights whenever the network is built. Its batch norm cannot be frozen: with
few images per GPU use a network without batch norm, like this one. The
optimiser is the same as for Swin-T.
"""

_base_ = './baseline_frcnn_swint.py'
model = dict(
    backbone=dict(_delete_=True, type='mmpretrain.TIMMBackbone',
        model_name='edgenext_small.usi_in1k', pretrained=True,
        features_only=True, out_indices=(0, 1, 2, 3)),
    neck=dict(in_channels=[48, 96, 160, 304]))  # fmt: skip

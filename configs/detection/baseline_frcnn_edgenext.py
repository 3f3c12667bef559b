"""Control: Faster R-CNN EdgeNeXt-Small of timm alone, COCO 1x.

Any timm network with `features_only` comes in this way; `out_indices` are to
select the maps of strides 4 to 32. timm fetches the weights itself, whenever
the network is built. It has no switch to freeze batch norm: with few images a
GPU take a network without one, as this is. The optimiser is the Swin-T's.
"""

_base_ = './baseline_frcnn_swint.py'
model = dict(
    backbone=dict(_delete_=True, type='mmpretrain.TIMMBackbone',
        model_name='edgenext_small.usi_in1k', pretrained=True,
        features_only=True, out_indices=(0, 1, 2, 3)),
    neck=dict(in_channels=[48, 96, 160, 304]))  # fmt: skip

"""A teacher with a dense head: GFL EfficientNet-Lite2 on drawn shapes.

It uses ImageNet weights and is as small as the demo's Faster R-CNN: a neck
with 32 channels on four levels, and anchors of half the size.
"""

_base_ = [
    '../_base_/models/gfl_lite2_slim.py',
    '../_base_/datasets/shapes.py',
    '../_base_/schedules/adamw_demo.py',
    '../_base_/cpu_runtime.py',
]
channels = 32
model = dict(
    neck=dict(start_level=0, out_channels=channels, num_outs=4),
    bbox_head=dict(
        in_channels=channels,
        feat_channels=channels,
        norm_cfg=dict(type='GN', num_groups=8),
        anchor_generator=dict(octave_base_scale=4, strides=[4, 8, 16, 32]),
    ),
)
max_epochs = 12
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1))

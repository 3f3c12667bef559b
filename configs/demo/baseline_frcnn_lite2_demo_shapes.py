"""The demo's teacher: Faster R-CNN EfficientNet-Lite2 on drawn shapes.

It uses ImageNet weights. The network is even smaller than the slim ones, so
that it trains in minutes on two cores: 128-pixel images, a neck with 32
channels on four levels, 32 RoIs per image, half of them foreground, and
anchors of half the size, since the shapes are 12 to 60 pixels long.
"""

_base_ = [
    '../_base_/models/frcnn_lite2_slim.py',
    '../_base_/datasets/shapes.py',
    '../_base_/schedules/adamw_demo.py',
    '../_base_/cpu_runtime.py',
]
channels = 32
model = dict(
    neck=dict(out_channels=channels, num_outs=4),
    rpn_head=dict(
        in_channels=channels,
        feat_channels=channels,
        anchor_generator=dict(scales=[4], strides=[4, 8, 16, 32]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(
            out_channels=channels, roi_layer=dict(sampling_ratio=2)
        ),
        bbox_head=dict(in_channels=channels),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=200, max_per_img=100),
        rcnn=dict(sampler=dict(num=32, pos_fraction=0.5)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=100)),
)
max_epochs = 8
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1))

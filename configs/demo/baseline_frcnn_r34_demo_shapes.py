"""The demo's teacher: Faster R-CNN R-34 from scratch on drawn shapes.

The slim plan made smaller still, since minutes on two cores must do: half
the backbone's width, 32 RoIs an image, half of them objects, and anchors of
half the size, since the shapes are 12 to 60 pixels long.
"""

_base_ = [
    '../_base_/models/frcnn_r50_slim.py',
    '../_base_/datasets/coco_folder.py',
    '../_base_/schedules/adamw_8e.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(depth=34, base_channels=32, zero_init_residual=False),
    neck=dict(in_channels=[32, 64, 128, 256]),
    rpn_head=dict(anchor_generator=dict(scales=[4])),
    roi_head=dict(bbox_roi_extractor=dict(roi_layer=dict(sampling_ratio=2))),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=200, max_per_img=100),
        rcnn=dict(sampler=dict(num=32, pos_fraction=0.5)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=100)),
)
data_root = 'data/shapes/'
classes = (
    'circle',
    'square',
    'triangle',
    'pentagon',
    'star',
    'cross',
    'ring',
)
image_scale = (128, 128)
train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
train_pipeline[2].scale = test_pipeline[1].scale = image_scale
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
max_epochs = 9
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=100),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        T_max=max_epochs,
        convert_to_iter_based=True,
    ),
]
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1))

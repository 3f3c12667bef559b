"""The demo's teacher: slim Faster R-CNN R-50 on made-up shapes."""

_base_ = [
    '../_base_/models/frcnn_r50_slim.py',
    '../_base_/datasets/coco_folder.py',
    '../_base_/schedules/adamw_8e.py',
    '../_base_/default_runtime.py',
]
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
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=image_scale, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_scale, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=(
            'img_id',
            'img_path',
            'ori_shape',
            'img_shape',
            'scale_factor',
        ),
    ),
]
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

"""`coco_folder.py` with random sizes and colours, for long training runs."""

_base_ = './coco_folder.py'
train_dataloader = _base_.train_dataloader
train_dataloader.dataset.pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='RandomResize',
        scale=_base_.image_scale,
        ratio_range=(0.75, 1.25),
        keep_ratio=True,
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackDetInputs'),
]

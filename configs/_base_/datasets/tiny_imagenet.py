"""Tiny-ImageNet: 64x64 images, rotation, colour jitter, flip; batch size 128.

The RKD paper mentions rotation, colour jitter and flips without their
strength: 20 degrees and 0.4 are ours. Validation uses the val split, since the
test split has no labels.
"""

_base_ = 'mmpretrain::_base_/datasets/imagenet_bs32.py'
data_root = 'data/tiny-imagenet-200/'
dataset_type = 'kd_det.TinyImageNet'
data_preprocessor = dict(num_classes=200)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='Rotate',
        magnitude_range=(0.0, 20.0),
        magnitude_level=10,
        magnitude_std='inf',  # drawn evenly from the range
        prob=1.0,
        interpolation='bilinear',
    ),
    dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
train_dataloader = dict(
    batch_size=128,
    num_workers=4,
    dataset=dict(
        type=dataset_type, data_root=data_root, pipeline=train_pipeline
    ),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=4,
    dataset=dict(
        type=dataset_type, data_root=data_root, pipeline=test_pipeline
    ),
)
test_dataloader = val_dataloader

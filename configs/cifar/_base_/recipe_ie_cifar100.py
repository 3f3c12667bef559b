"""CIFAR-100 by the recipe of IE-KD: 160 epochs of batches of 128.

Images are padded by reflection before the crop.
"""

_base_ = [
    '../../_base_/datasets/cifar100.py',
    '../../_base_/schedules/cifar_160e.py',
]
train_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=4, padding_mode='reflect'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=128, dataset=dict(pipeline=train_pipeline))

"""A CIFAR VGG alone; a child gives the depth."""

_base_ = '../../_base_/classification_runtime.py'
model = dict(
    type='ImageClassifier',
    backbone=dict(type='kd_det.CIFARVGG'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=100,
        in_channels=512,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)

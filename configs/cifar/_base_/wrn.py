"""A wide residual network alone; a child gives depth and width."""

_base_ = '../../_base_/classification_runtime.py'
model = dict(
    type='ImageClassifier',
    backbone=dict(type='kd_det.WRN'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=100,
        in_channels=128,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)

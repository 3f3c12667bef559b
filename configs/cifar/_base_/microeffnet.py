"""The EfficientNet of 0.48 M weights alone."""

_base_ = '../../_base_/classification_runtime.py'
model = dict(
    type='ImageClassifier',
    backbone=dict(type='kd_det.MicroEffNet'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=100,
        in_channels=136,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)

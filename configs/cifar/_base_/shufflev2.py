"""The CIFAR ShuffleNetV2 alone."""

_base_ = '../../_base_/classification_runtime.py'
model = dict(
    type='ImageClassifier',
    backbone=dict(type='kd_det.CIFARShuffleNetV2'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=100,
        in_channels=1024,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)

"""The CIFAR ShuffleNetV1 alone."""

_base_ = '../../_base_/classification_runtime.py'
model = dict(
    type='ImageClassifier',
    backbone=dict(type='kd_det.CIFARShuffleNetV1'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=100,
        in_channels=960,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)

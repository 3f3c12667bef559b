"""The binary ResNet-18 alone."""

_base_ = '../../_base_/classification_runtime.py'
model = dict(
    type='ImageClassifier',
    backbone=dict(type='kd_det.BinaryResNet'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=512,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        topk=(1, 5),
    ),
)

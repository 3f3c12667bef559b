"""A ResNet whose stem keeps the size, alone; a child gives the depth."""

_base_ = '../../_base_/classification_runtime.py'
model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet_CIFAR'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=200,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)

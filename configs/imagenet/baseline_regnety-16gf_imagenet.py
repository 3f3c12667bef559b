"""RegNetY-16GF alone on ImageNet.

Written for the weights that torchvision publishes; its training recipe is
another one.
"""

_base_ = ['../_base_/classification_runtime.py', '_base_/recipe.py']
model = dict(
    type='ImageClassifier',
    backbone=dict(type='kd_det.RegNetY16GF'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=3024,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        topk=(1, 5),
    ),
)

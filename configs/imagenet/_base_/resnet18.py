"""MMPretrain's ResNet-18 alone."""

_base_ = [
    'mmpretrain::_base_/models/resnet18.py',
    '../../_base_/classification_runtime.py',
]

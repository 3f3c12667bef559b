"""Tiny MMPretrain classifiers."""

from pathlib import Path

from mmengine.config import ConfigDict

from kd_det.testing.pairs import save_teacher


def tiny_classifier(
    depth: int = 18, num_classes: int = 10, base_channels: int = 4
) -> dict:
    """Return the spec of a tiny CIFAR ResNet.

    Args:
        depth: Depth of the ResNet; 50 has embeddings four times as wide.
        num_classes: Number of classes.
        base_channels: Channels of the first stage.

    Returns:
        A model config for ``DistillModel``.
    """
    expansion = 1 if depth < 50 else 4
    return dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        data_preprocessor=dict(
            num_classes=num_classes, mean=[127.5] * 3, std=[64.0] * 3
        ),
        backbone=dict(
            type='ResNet_CIFAR', depth=depth, base_channels=base_channels
        ),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead',
            num_classes=num_classes,
            in_channels=base_channels * expansion * 8,
        ),
    )


def tiny_classifier_pair(
    folder: str | Path, distillers: dict, num_classes: int = 10
) -> ConfigDict:
    """Return the config of a ``DistillModel`` with two tiny classifiers.

    Args:
        folder: Folder for the random teacher's checkpoint.
        distillers: Distillers of the ``DistillModel``.
        num_classes: Number of classes of both networks.
    """
    spec = tiny_classifier(50, num_classes)
    return ConfigDict(
        _scope_='kd_det',
        type='DistillModel',
        teacher=save_teacher(spec, Path(folder) / 'teacher.pth'),
        student=tiny_classifier(18, num_classes),
        distillers=distillers,
    )

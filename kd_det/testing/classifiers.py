"""Tiny image classifiers: real mmpretrain ones, a fraction of a second."""

from pathlib import Path

from mmengine.config import ConfigDict

from kd_det.testing.pairs import save_teacher


def tiny_classifier(
    depth: int = 18, num_classes: int = 10, base_channels: int = 4
) -> dict:
    """Return a student or teacher spec of a CIFAR ResNet in miniature.

    Args:
        depth: Of the ResNet; 50 has embeddings four times as wide.
        num_classes: Of the class layer.
        base_channels: Width of its first stage.

    Returns:
        A whole model, as ``DistillModel`` takes it.
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
    """Return the config of a ``DistillModel`` of two tiny classifiers.

    Args:
        folder: Where the random teacher's checkpoint is written.
        distillers: As ``DistillModel`` takes them.
        num_classes: Of both sides.
    """
    spec = tiny_classifier(50, num_classes)
    return ConfigDict(
        _scope_='kd_det',
        type='DistillModel',
        teacher=save_teacher(spec, Path(folder) / 'teacher.pth'),
        student=tiny_classifier(18, num_classes),
        distillers=distillers,
    )

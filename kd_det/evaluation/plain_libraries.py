"""Stock MMDetection and MMPretrain, to check that our files need no pair."""

from collections.abc import Iterator
from pathlib import Path

import torch
from mmdet.apis import init_detector
from mmpretrain.apis import get_model
from torch import nn


def stock_network(config: Path, checkpoint: Path, scope: str) -> nn.Module:
    """Return what stock code makes of a config and a checkpoint.

    Args:
        config: Of the network and its data.
        checkpoint: Of the network.
        scope: ``'mmdet'`` or ``'mmpretrain'``: whose code.
    """
    if scope == 'mmpretrain':
        return get_model(str(config), pretrained=str(checkpoint), device='cpu')
    return init_detector(str(config), str(checkpoint), device='cpu')


def same_predictions(one: list, other: list) -> bool:
    """Tell whether two lists of predictions agree bit for bit.

    Args:
        one: Data samples with ``pred_instances`` or ``pred_score``.
        other: The same images in the same order.
    """
    return all(
        torch.equal(ours, theirs)
        for a, b in zip(one, other, strict=True)
        for ours, theirs in zip(_predicted(a), _predicted(b), strict=True)
    )


def same_raw_outputs(one: nn.Module, other: nn.Module, batch: dict) -> bool:
    """Tell whether two networks agree before any box is chosen.

    Args:
        one: A network in evaluation mode.
        other: Another one.
        batch: Of a test loader.
    """
    outputs = [
        [*_tensors(net(**net.data_preprocessor(batch), mode='tensor'))]
        for net in (one, other)
    ]
    return all(map(torch.equal, *outputs))


def _tensors(outputs: object) -> Iterator[torch.Tensor]:
    if isinstance(outputs, torch.Tensor):
        yield outputs
    elif isinstance(outputs, (tuple, list)):
        for part in outputs:
            yield from _tensors(part)


def count_predictions(samples: list) -> int:
    """Return how many boxes, or images of a classifier, were predicted."""
    return sum(len(_predicted(s)[0]) if _has_boxes(s) else 1 for s in samples)


def _has_boxes(sample) -> bool:
    return 'pred_instances' in sample


def _predicted(sample) -> list[torch.Tensor]:
    if 'pred_embed' in sample:
        return [sample.pred_embed[None]]
    if not _has_boxes(sample):
        return [sample.pred_score]
    boxes = sample.pred_instances
    return [boxes[key] for key in ('bboxes', 'scores', 'labels')]

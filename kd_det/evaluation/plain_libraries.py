"""Stock MMDetection and MMPretrain, to verify exported students."""

from collections.abc import Iterator
from pathlib import Path

import torch
from mmdet.apis import init_detector
from mmpretrain.apis import get_model
from torch import nn


def stock_network(config: Path, checkpoint: Path, scope: str) -> nn.Module:
    """Build a network from config and checkpoint with stock code.

    Args:
        config: Config of the network and its data.
        checkpoint: Checkpoint of the network.
        scope: Library to use, ``'mmdet'`` or ``'mmpretrain'``.
    """
    if scope == 'mmpretrain':
        return get_model(str(config), pretrained=str(checkpoint), device='cpu')
    return init_detector(str(config), str(checkpoint), device='cpu')


def same_predictions(one: list, other: list) -> bool:
    """Return whether two lists of predictions are bit-identical.

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
    """Return whether the raw outputs of two networks are identical.

    Args:
        one: A network in eval mode.
        other: Another one.
        batch: Batch of a test loader.
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
    """Return the number of predicted boxes, or of classified images."""
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

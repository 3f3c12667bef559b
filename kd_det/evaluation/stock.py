"""Stock MMDetection, to check that our files need nothing else."""

from pathlib import Path

import torch
from mmdet.apis import init_detector
from torch import nn


def stock_detector(config: Path, checkpoint: Path) -> nn.Module:
    """Return what MMDetection itself makes of a config and a checkpoint."""
    return init_detector(str(config), str(checkpoint), device='cpu')


def same_boxes(one: list, other: list) -> bool:
    """Tell whether two lists of predictions agree bit for bit.

    Args:
        one: Data samples with ``pred_instances``.
        other: The same images in the same order.
    """
    return all(
        torch.equal(a.pred_instances[key], b.pred_instances[key])
        for a, b in zip(one, other, strict=True)
        for key in ('bboxes', 'scores', 'labels')
    )

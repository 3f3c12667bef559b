"""Heads such as YOLOX's, which predict objectness beside the classes."""

import torch
from torch import Tensor

from kd_det.taps import Records


def joint_logits(scores: Tensor, objectness: Tensor) -> Tensor:
    r"""Return the logits of the scores by which such a head ranks its boxes.

    .. math::
        \operatorname{logit}\bigl(\sigma(c)\,\sigma(o)\bigr)
            = -\log\bigl(e^{-c} + e^{-o} + e^{-c-o}\bigr)

    Args:
        scores: Class logits :math:`c`, shape (N, K, H, W).
        objectness: Logits :math:`o`, shape (N, 1, H, W).

    Returns:
        Shape (N, K, H, W).
    """
    theirs = objectness.expand_as(scores)
    terms = torch.stack([-scores, -theirs, -scores - theirs])
    return -terms.logsumexp(0)


def labels_of(records: Records, classes: int) -> list[Tensor]:
    """Return the labels that such a head is trained on, level by level.

    Its objectness loss gets every location of an image before those of the
    next one, and its classification loss the locations on an object alone.

    Args:
        records: The calls of the head (``outputs``) and of its objectness loss
            (``objects``) and classification loss (``targets``).
        classes: Number of classes, the label of background.

    Returns:
        One tensor (N H W,) per level.
    """
    maps = records['outputs'][0][2]
    on_object = records['objects'][0][1].flatten() > 0
    labels = on_object.new_full(on_object.shape, classes, dtype=torch.long)
    for call in records['targets']:  # none without an object
        labels[on_object] = call[1].argmax(1)
    sizes = [level[0].numel() for level in maps]
    per_image = labels.reshape(len(maps[0]), sum(sizes)).split(sizes, dim=1)
    return [part.flatten() for part in per_image]


def rows_by_image(maps: list[Tensor]) -> Tensor:
    """Return objectness as its loss gets it, shape (N P, 1).

    Args:
        maps: Logits, one map (N, 1, H, W) per level.
    """
    return torch.cat([level.flatten(1) for level in maps], 1).reshape(-1, 1)

"""Overlap of boxes."""

import torch
from torch import Tensor

# Smaller areas count as this one, which bounds the gradient.
LEAST_AREA = 1e-6


def giou(one: Tensor, other: Tensor) -> Tensor:
    """Return the generalised IoU of boxes, between -1 and 1.

    A box whose right edge is left of its left one, or top below bottom, is
    empty.

    Args:
        one: Boxes x1, y1, x2, y2, shape (…, 4).
        other: The same; the shapes are broadcast.

    Returns:
        Shape (…).
    """
    shared = _area(
        torch.maximum(one[..., :2], other[..., :2]),
        torch.minimum(one[..., 2:], other[..., 2:]),
    )
    around = _area(
        torch.minimum(one[..., :2], other[..., :2]),
        torch.maximum(one[..., 2:], other[..., 2:]),
    ).clamp(min=LEAST_AREA)
    areas = [_area(b[..., :2], b[..., 2:]) for b in (one, other)]
    union = (areas[0] + areas[1] - shared).clamp(min=LEAST_AREA)
    return shared / union - (around - union) / around


def _area(first: Tensor, last: Tensor) -> Tensor:
    return (last - first).clamp(min=0).prod(-1)

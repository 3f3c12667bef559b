"""Masks of maps: which cells hold an image, and which only padding."""

import torch
from torch import Tensor
from torch.nn import functional as F


def fitting(mask: Tensor | None, feature_map: Tensor) -> Tensor | None:
    """Return a mask with the cells of a map, perhaps of another size.

    A cell counts if any that it covers does.

    Args:
        mask: Boolean (N, 1, H, W), or None.
        feature_map: Shape (N, C, H', W').
    """
    if mask is None:  # what mmrazor's connectors make may be no map
        return None
    size = feature_map.shape[2:]
    if mask.shape[2:] == size:
        return mask
    return F.adaptive_max_pool2d(mask.float(), size) > 0


def zero_outside(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return the map with zeros where the mask is False.

    Args:
        x: Map (N, C, H, W).
        mask: Boolean (N, 1, H, W), or None.
    """
    # where, not multiply: padding may hold anything
    return x if mask is None else torch.where(mask, x, 0.0)

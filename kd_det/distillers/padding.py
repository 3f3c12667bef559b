"""Where a batch holds an image, and where only padding."""

import math

import torch
from torch import Tensor


def inside(samples: list, size: tuple[int, int]) -> Tensor | None:
    """Return which cells of a feature map touch their image.

    Args:
        samples: Data samples with ``img_shape`` and ``batch_input_shape``
            (height, width in pixels).
        size: Height and width of the map.

    Returns:
        Boolean (N, H, W) on the CPU, or None where every cell does, or where
        the sizes are not known (a classifier's images have no padding).
    """
    parts = []
    for sample in samples:
        whole = getattr(sample, 'batch_input_shape', None)
        image = getattr(sample, 'img_shape', None)
        if whole is None or image is None:
            return None
        parts.append(
            tuple(
                min(side, math.ceil(side * own / full))
                for side, own, full in zip(size, image, whole)
            )
        )
    if all(part == tuple(size) for part in parts):
        return None
    mask = torch.zeros(len(parts), *size, dtype=torch.bool)
    for index, (height, width) in enumerate(parts):
        mask[index, :height, :width] = True
    return mask

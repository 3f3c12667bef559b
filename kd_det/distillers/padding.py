"""Where a batch holds an image, and where only padding."""

import math

import torch
from torch import Tensor


def inside(
    samples: list,
    size: tuple[int, int],
    stride: int,
    device: torch.device,
) -> Tensor | None:
    """Return which cells of a feature map touch their image.

    Args:
        samples: Data samples with ``img_shape`` and ``batch_input_shape``
            (height, width in pixels).
        size: Height and width of the map.
        stride: Of the map, in pixels.
        device: Of the mask.

    Returns:
        Boolean (N, H, W), or None where every cell does, or where
        the sizes are not known (a classifier's images have no padding).
    """
    parts = []
    for sample in samples:
        image = getattr(sample, 'img_shape', None)
        if image is None or not hasattr(sample, 'batch_input_shape'):
            return None
        parts.append(
            tuple(
                min(cells, math.ceil(own / stride))
                for cells, own in zip(size, image)
            )
        )
    if all(part == tuple(size) for part in parts):
        return None
    mask = torch.zeros(len(parts), *size, dtype=torch.bool, device=device)
    for index, (height, width) in enumerate(parts):
        mask[index, :height, :width] = True
    return mask


def mask_of(level: Tensor, samples: list, stride: int) -> Tensor | None:
    """Return which cells of a map touch their image, (N, 1, H, W), or None.

    Args:
        level: The map (N, C, H, W).
        samples: See :func:`inside`.
        stride: Of the map, in pixels.
    """
    mask = inside(samples, tuple(level.shape[2:]), stride, level.device)
    return None if mask is None else mask[:, None]

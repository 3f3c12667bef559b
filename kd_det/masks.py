"""Masks of maps: which cells hold an image, and which only padding."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from kd_det.errors import UserError


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


def crop_to_common(
    ours: Tensor, theirs: Tensor, samples: list, stride: int
) -> tuple[Tensor, Tensor]:
    """Return two maps of one stride without what only one side padded.

    Args:
        ours: The student's (N, C, H, W).
        theirs: The teacher's.
        samples: As :func:`inside` takes them.
        stride: Of the maps, in pixels.

    Raises:
        UserError: More would go than padding, that is part of an image.
    """
    sizes = [tuple(m.shape[2:]) for m in (ours, theirs)]
    least = [min(sides) for sides in zip(*sizes)]
    images = [s.img_shape for s in samples if hasattr(s, 'img_shape')]
    # networks round a last cell that is not whole up or down
    needed = [max(sides) // stride for sides in zip(*images)]
    if not images:  # nothing is padded
        needed = [max(sides) - 1 for sides in zip(*sizes)]
    if sizes[0] != sizes[1] and any(n > c for n, c in zip(needed, least)):
        raise UserError(
            f"The student's map of stride {stride} is {sizes[0]}, the "
            f"teacher's {sizes[1]}, and padding cannot be why; name points "
            'that belong together with taps=dict(student=[…], teacher=[…]).'
        )
    height, width = least
    return ours[..., :height, :width], theirs[..., :height, :width]


def mask_of(level: Tensor, samples: list, stride: int) -> Tensor | None:
    """Return which cells of a map touch their image, (N, 1, H, W), or None.

    Args:
        level: The map (N, C, H, W).
        samples: See :func:`inside`.
        stride: Of the map, in pixels.
    """
    height, width = level.shape[2:]
    mask = inside(samples, (height, width), stride, level.device)
    return None if mask is None else mask[:, None]

"""Masks of feature maps that mark images without padding."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from kd_det.errors import UserError


def fitting(mask: Tensor | None, feature_map: Tensor) -> Tensor | None:
    """Resize a mask to the size of a feature map.

    A cell is set if any cell that it covers is set.

    Args:
        mask: Boolean (N, 1, H, W), or None.
        feature_map: Shape (N, C, H', W').
    """
    if mask is None:  # outputs of mmrazor connectors may not be maps
        return None
    size = feature_map.shape[2:]
    if mask.shape[2:] == size:
        return mask
    return F.adaptive_max_pool2d(mask.float(), size) > 0


def zero_outside(x: Tensor, mask: Tensor | None) -> Tensor:
    """Set a feature map to zero where the mask is False.

    Args:
        x: Feature map (N, C, H, W).
        mask: Boolean (N, 1, H, W), or None.
    """
    # where instead of multiply: padding may be NaN
    return x if mask is None else torch.where(mask, x, 0.0)


def inside(
    samples: list,
    size: tuple[int, int],
    stride: int,
    device: torch.device,
) -> Tensor | None:
    """Return the mask of feature map cells that overlap the image.

    Args:
        samples: Data samples with ``img_shape`` and ``batch_input_shape``
            (height, width in pixels).
        size: Height and width of the feature map.
        stride: Stride of the feature map, in pixels.
        device: Device of the mask.

    Returns:
        Boolean (N, H, W), or None if all cells do or the sizes are unknown (a
        classifier's images have no padding).
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
    """Crop two feature maps with the same stride to their common area.

    Args:
        ours: Student feature map (N, C, H, W).
        theirs: Teacher feature map.
        samples: See :func:`inside`.
        stride: Stride of the maps, in pixels.

    Raises:
        UserError: More than padding would be cropped.
    """
    sizes = [tuple(m.shape[2:]) for m in (ours, theirs)]
    least = [min(sides) for sides in zip(*sizes)]
    images = [s.img_shape for s in samples if hasattr(s, 'img_shape')]
    # networks round a partial last cell up or down
    needed = [max(sides) // stride for sides in zip(*images)]
    if not images:  # there is no padding
        needed = [max(sides) - 1 for sides in zip(*sizes)]
    if sizes[0] != sizes[1] and any(n > c for n, c in zip(needed, least)):
        raise UserError(
            f"The student's map with stride {stride} is {sizes[0]}, the "
            f"teacher's {sizes[1]}, which padding cannot explain; set "
            'corresponding tap points with taps=dict(student=[…], '
            'teacher=[…]).'
        )
    height, width = least
    return ours[..., :height, :width], theirs[..., :height, :width]


def mask_of(level: Tensor, samples: list, stride: int) -> Tensor | None:
    """Return the mask of cells that overlap the image, (N, 1, H, W), or None.

    Args:
        level: Feature map (N, C, H, W).
        samples: See :func:`inside`.
        stride: Stride of the feature map, in pixels.
    """
    height, width = level.shape[2:]
    mask = inside(samples, (height, width), stride, level.device)
    return None if mask is None else mask[:, None]

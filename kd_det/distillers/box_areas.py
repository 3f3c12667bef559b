"""The objects at each position of a feature map, for FGD."""

import math

import torch
from torch import Tensor

from kd_det.errors import UserError


def box_areas(samples: list, level: Tensor, stride: int) -> Tensor:
    """Return the area of the smallest annotated box at each position.

    A box covers the cells that it overlaps, at least one. Its area is their
    number.

    Args:
        samples: Data samples with ``gt_instances`` (boxes in pixels).
        level: Feature map (N, C, H, W).
        stride: Stride of the feature map, in pixels.

    Returns:
        Shape (N, H, W), 0 in the background.

    Raises:
        UserError: The data samples have no boxes.
    """
    if not all(hasattr(sample, 'gt_instances') for sample in samples):
        raise UserError(
            'A loss needs feat_areas, the areas of annotated boxes, but the '
            'data samples have no gt_instances; use a detector, or a loss '
            'without feat_areas.'
        )
    return torch.stack(
        [
            _areas(torch.as_tensor(s.gt_instances.bboxes), level, stride)
            for s in samples
        ]
    )


def _areas(boxes: Tensor, level: Tensor, stride: int) -> Tensor:
    """Return the areas (H, W) in one image."""
    boxes = boxes[:, :4].to(level.device, torch.float32) / stride
    covers, sides = [], []
    for axis, size in ((1, level.shape[2]), (0, level.shape[3])):
        first = boxes[:, axis].floor().clamp(0, size - 1)
        last = boxes[:, axis + 2].ceil().clamp(max=size)
        last = torch.maximum(last, first + 1)
        cells = torch.arange(size, device=level.device)
        covers.append((cells >= first[:, None]) & (cells < last[:, None]))
        sides.append(last - first)
    rows, columns = covers
    inside = rows[:, :, None] & columns[:, None]
    area = (sides[0] * sides[1])[:, None, None]
    # a first plane, so that an image without boxes has a minimum
    least = inside.new_full((1, *inside.shape[1:]), math.inf, dtype=area.dtype)
    least = torch.cat([least, torch.where(inside, area, math.inf)]).amin(0)
    return least.masked_fill(least.isinf(), 0)

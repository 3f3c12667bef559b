"""RoIAlign as two matrix products, whose gradient is deterministic.

Its mean is linear in the map and separable. With Y, X holding for each bin
the mean weights of its samples on the map's rows and columns,

    output[r] = Y[r] @ map[b] @ X[r].T,

and the gradient for the map is the sum over r of Y[r].T @ grad[r] @ X[r].
A GPU adds up the compiled operator's gradient in no fixed order, and torch
refuses that under ``torch.use_deterministic_algorithms``.
"""

import torch
from torch import Tensor


def linear_backward(
    grad: Tensor,
    rois: Tensor,
    shape: torch.Size,
    scale: float,
    ratio: int,
    aligned: bool,
) -> Tensor:
    """Return the gradient of RoIAlign's mean for the map.

    Args:
        grad: (R, C, h, w), that of the output.
        rois: (R, 5), index in the batch, x1, y1, x2, y2.
        shape: Of the map, (B, C, H, W).
        scale: From the RoIs' pixels to cells of the map.
        ratio: Samples along each side of a bin, 0 for one a cell.
        aligned: Whether a cell's centre is at half a cell.

    Returns:
        (B, C, H, W).
    """
    corners = rois[:, 1:] * scale - (0.5 if aligned else 0)
    rows = _weights(
        corners[:, 1], corners[:, 3], grad.shape[2], shape[2], ratio, aligned
    )
    columns = _weights(
        corners[:, 0], corners[:, 2], grad.shape[3], shape[3], ratio, aligned
    )
    total = grad.new_zeros(shape)
    for image in range(shape[0]):
        own = (rois[:, 0] == image).nonzero()[:, 0]
        if not len(own):
            continue
        # (R, C, h, w), (R, h, H) -> (C, H, R, w), summed over R and w below
        high = torch.einsum('rchw,rhy->cyrw', grad[own], rows[own])
        flat = high.flatten(2).flatten(0, 1) @ columns[own].flatten(0, 1)
        total[image] = flat.view(shape[1:])
    return total


def _weights(
    low: Tensor, high: Tensor, bins: int, cells: int, ratio: int, aligned: bool
) -> Tensor:
    """Return the mean weights of each bin's samples on the cells, (R, h, H).

    A sample at y weighs a cell at Y by max(0, 1 - |y - Y|), where y is moved
    to the first or the last cell if it is beyond it; one more than a cell
    beyond weighs nothing.
    """
    length = high - low
    if not aligned:
        length = length.clamp(min=1)
    size = (length / bins)[:, None, None]
    if ratio > 0:
        number = torch.full_like(size, ratio)
    else:
        number = size.ceil().clamp(min=0)
    most = int(number.max()) if len(number) else 0
    sample = torch.arange(most, dtype=low.dtype, device=low.device)
    bin_ = torch.arange(bins, dtype=low.dtype, device=low.device)[:, None]
    at = low[:, None, None] + (bin_ + (sample + 0.5) / number) * size
    counts = (sample < number) & (at >= -1) & (at <= cells)
    cell = torch.arange(cells, dtype=low.dtype, device=low.device)
    at = at.clamp(0, cells - 1)[..., None]
    weights = (1 - (at - cell).abs()).clamp(min=0)
    weights = torch.where(counts[..., None], weights, 0).sum(2)
    return weights / number.clamp(min=1)

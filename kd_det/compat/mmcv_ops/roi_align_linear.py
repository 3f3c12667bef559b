"""RoIAlign as two matrix products with a deterministic gradient.

The mean is linear in the map and separable. With Y and X the mean weights of
each bin's samples on the map's rows and columns,

    output[r] = Y[r] @ map[b] @ X[r].T,

and the gradient of the map is the sum over r of Y[r].T @ grad[r] @ X[r]. On a
GPU the compiled operator sums its gradient in arbitrary order, which is an
error with ``torch.use_deterministic_algorithms``.
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
    """Return the gradient of RoIAlign's mean with respect to the map.

    Args:
        grad: (R, C, h, w), gradient of the output.
        rois: (R, 5), image index, x1, y1, x2, y2.
        shape: Shape of the map, (B, C, H, W).
        scale: Scale from RoI pixels to map cells.
        ratio: Samples along each side of a bin, 0 for one per cell.
        aligned: Whether cell centres are at half cells.

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
    """Return the mean weight of each cell for each bin, (R, h, H).

    A sample at y gives a cell at Y the weight max(0, 1 - |y - Y|), where y is
    clipped to the first or last cell; samples more than one cell outside have
    weight 0.
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

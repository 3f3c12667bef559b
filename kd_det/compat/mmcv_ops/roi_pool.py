"""RoIPool: the maximum over the cells in each bin of a RoI.

torchvision rounds RoIs to whole cells before dividing them into bins, MMCV
does not, hence this implementation.
"""

import torch
from torch import Tensor

from kd_det.compat.mmcv_ops.precision import at_least_float32
from kd_det.compat.mmcv_ops.rois import check_images, within_reach


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Write the largest value in each bin into ``output``.

    Args:
        input: (B, C, H, W), the map.
        rois: (R, 5), image index, x1, y1, x2, y2, including the last pixels. A
            RoI with a corner that is NaN, infinite or beyond 1e6 pixels gives
            zeros.
        output: (R, C, ``pooled_height``, ``pooled_width``); 0 for empty bins
            and RoIs.
        argmax: Same shape as ``output``; the index of the cell in H·W, or -1.
        spatial_scale: Scale from RoI pixels to map cells.

    Raises:
        ValueError: An image index is outside the batch.
    """
    (boxes,) = at_least_float32(rois)
    check_images(boxes, len(input))
    if not input.numel():
        output.zero_()
        argmax.fill_(-1)
        return
    boxes = within_reach(boxes)
    low = boxes[:, 1:3] * spatial_scale
    high = (boxes[:, 3:] + 1) * spatial_scale
    height, width = input.shape[2:]
    top, bottom = _bins(low[:, 1], high[:, 1], pooled_height, height)
    left, right = _bins(low[:, 0], high[:, 0], pooled_width, width)
    empty = (bottom <= top)[:, :, None] | (right <= left)[:, None]
    empty |= (high <= low).any(1)[:, None, None]
    facts = (
        boxes[:, 0].long(),
        (bottom - top).amax(1).clamp(min=1),
        (right - left).amax(1).clamp(min=1),
    )
    for r, (image, high, wide) in enumerate(torch.stack(facts, 1).tolist()):
        # pad all bins to the largest one by repeating the last row or column
        y = _indices(top[r], bottom[r], high)
        x = _indices(left[r], right[r], wide)
        cell = (y[:, None, :, None] * width + x[:, None]).flatten(2)
        value, index = input[image].flatten(1)[:, cell].max(-1)
        cell = cell.expand(len(value), -1, -1, -1)
        cell = cell.gather(-1, index[..., None])[..., 0]
        output[r] = value.masked_fill(empty[r], 0)
        argmax[r] = cell.masked_fill(empty[r], -1)


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Write the gradient of :func:`roi_pool_forward` into ``grad_input``."""
    (grad,) = at_least_float32(grad_output)
    r, c, y, x = (argmax >= 0).nonzero(as_tuple=True)
    where = (rois[r, 0].long(), c, argmax[r, c, y, x].long())
    total = grad.new_zeros(grad_input.flatten(2).shape)
    total.index_put_(where, grad[r, c, y, x], accumulate=True)
    grad_input.copy_(total.view(grad_input.shape))


def _bins(
    low: Tensor, high: Tensor, bins: int, cells: int
) -> tuple[Tensor, Tensor]:
    """Return the first cell of each bin, and the one after the last."""
    edge = torch.arange(bins + 1, dtype=low.dtype, device=low.device)
    edge = edge * ((high - low) / bins)[:, None] + low[:, None]
    first, end = edge[:, :-1].floor(), edge[:, 1:].ceil()
    return first.clamp(0, cells).long(), end.clamp(0, cells).long()


def _indices(first: Tensor, end: Tensor, number: int) -> Tensor:
    """Return the cells of each bin, the last one repeated, (bins, number)."""
    cells = first[:, None] + torch.arange(number, device=first.device)
    return torch.minimum(cells, end[:, None] - 1).clamp(min=0)

"""RoIAlign: pooling of RoIs with bilinear interpolation."""

import torch
import torchvision  # noqa: F401  registers torch.ops.torchvision
from torch import Tensor
from torch.nn import functional as F

from kd_det.compat.mmcv_ops.precision import at_least_float32
from kd_det.compat.mmcv_ops.roi_align_linear import linear_backward
from kd_det.compat.mmcv_ops.rois import check_images, within_reach

MAX = 0  # MMCV's code of the pool mode; 1 is the mean


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the mean or maximum of each bin's samples into ``output``.

    Args:
        input: (B, C, H, W), the feature map.
        rois: (R, 5), image index, x1, y1, x2, y2. A RoI with a corner that is
            NaN, infinite or beyond 1e6 pixels gives zeros.
        output: (R, C, ``aligned_height``, ``aligned_width``).
        argmax_y, argmax_x: Same shape as ``output``, for the maximum only; the
            position of the maximum.
        spatial_scale: Scale from RoI pixels to map cells.
        sampling_ratio: Samples along each side of a bin; 0 for the number of
            cells, rounded up.
        pool_mode: 0 the maximum, 1 the mean.
        aligned: Whether cell centres are at half cells.

    Raises:
        ValueError: An image index is outside the batch.
    """
    feats, boxes = at_least_float32(input, rois)
    check_images(boxes, len(feats))
    if not feats.numel():
        output.zero_()
        return
    boxes = within_reach(boxes)
    if pool_mode != MAX:
        pooled = _pool(
            feats,
            boxes,
            (aligned_height, aligned_width),
            spatial_scale,
            sampling_ratio,
            aligned,
        )
        output.copy_(pooled)
        return
    sizes = (aligned_height, aligned_width)
    for rows, (high, wide) in _grids(
        boxes, sizes, spatial_scale, sampling_ratio, aligned
    ):
        # one bin per sample
        fine = (aligned_height * high, aligned_width * wide)
        samples = _pool(feats, boxes[rows], fine, spatial_scale, 1, aligned)
        top, index = F.max_pool2d(samples, (high, wide), return_indices=True)
        output[rows] = top.to(output.dtype)
        argmax_y[rows] = (index // fine[1] % high).to(argmax_y.dtype)
        argmax_x[rows] = (index % fine[1] % wide).to(argmax_x.dtype)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the gradient of :func:`roi_align_forward` into ``grad_input``."""
    if not grad_input.numel():
        return
    grad, boxes = at_least_float32(grad_output, rois)
    boxes = within_reach(boxes)
    shape = grad_input.shape
    if pool_mode != MAX:
        grad_input.copy_(
            _unpool(grad, boxes, shape, spatial_scale, sampling_ratio, aligned)
        )
        return
    sizes = (aligned_height, aligned_width)
    for rows, (high, wide) in _grids(
        boxes, sizes, spatial_scale, sampling_ratio, aligned
    ):
        y = torch.arange(aligned_height, device=grad.device)[:, None] * high
        x = torch.arange(aligned_width, device=grad.device) * wide
        width = aligned_width * wide
        index = (y + argmax_y[rows].long()) * width
        index += x + argmax_x[rows].long()
        samples = F.max_unpool2d(grad[rows], index, (high, wide))
        part = _unpool(samples, boxes[rows], shape, spatial_scale, 1, aligned)
        grad_input += part.to(grad_input.dtype)


def _pool(feats, boxes, sizes, scale, ratio, aligned) -> Tensor:
    return torch.ops.torchvision.roi_align(
        feats, boxes, scale, *sizes, ratio, aligned
    )


def _unpool(grad, boxes, shape, scale, ratio, aligned) -> Tensor:
    if grad.is_cuda and torch.are_deterministic_algorithms_enabled():
        return linear_backward(grad, boxes, shape, scale, ratio, aligned)
    return torch.ops.torchvision._roi_align_backward(
        grad, boxes, scale, *grad.shape[2:], *shape, ratio, aligned
    )


def _grids(boxes, sizes, scale, ratio, aligned):
    """Yield groups of RoIs with equal numbers of samples per bin.

    A bin without height or width has one sample along that side.
    """
    lengths = (boxes[:, [4, 3]] - boxes[:, [2, 1]]) * scale
    if not aligned:
        lengths = lengths.clamp(min=1)
    grids = (lengths / lengths.new_tensor(sizes)).ceil().clamp(min=1).long()
    if ratio > 0:
        grids = torch.full_like(grids, ratio)
    for grid in grids.unique(dim=0):
        yield (grids == grid).all(1).nonzero()[:, 0], grid.tolist()

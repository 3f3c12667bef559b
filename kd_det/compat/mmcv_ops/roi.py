"""Pooling of regions of interest (RoIs) to a fixed size."""

import torch
import torchvision  # noqa: F401  registers torch.ops.torchvision
from torch import Tensor


def exact(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the tensors in the first one's dtype, at least float32."""
    dtype = tensors[0].dtype
    if dtype != torch.float64:
        dtype = torch.float32
    return tuple(tensor.to(dtype) for tensor in tensors)


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
    """Write into ``output`` the mean of bilinear samples in each bin.

    Args:
        input: (B, C, H, W).
        rois: (R, 5), the index in the batch, x1, y1, x2, y2.
        output: (R, C, ``aligned_height``, ``aligned_width``).
        argmax_y, argmax_x: Not used.
        spatial_scale: Cells of the map to a pixel of the RoIs.
        sampling_ratio: Samples along a side of a bin; 0 for one to a cell.
        pool_mode: 1, the mean.
        aligned: Whether the centres of cells lie at halves.
    """
    check_mode(pool_mode)
    feats, boxes = exact(input, rois)
    output.copy_(
        torch.ops.torchvision.roi_align(
            feats,
            boxes,
            spatial_scale,
            aligned_height,
            aligned_width,
            sampling_ratio,
            aligned,
        )
    )


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
    """Write into ``grad_input`` the gradient of :func:`roi_align_forward`."""
    check_mode(pool_mode)
    grad, boxes = exact(grad_output, rois)
    grad_input.copy_(
        torch.ops.torchvision._roi_align_backward(
            grad,
            boxes,
            spatial_scale,
            aligned_height,
            aligned_width,
            *grad_input.shape,
            sampling_ratio,
            aligned,
        )
    )


def check_mode(pool_mode: int) -> None:
    """Raise for the maximum, which torchvision does not have."""
    if pool_mode != 1:
        raise NotImplementedError(
            "RoIAlign with pool_mode='max' is not among the operators that "
            'kd_det has on torchvision; set up with '
            '`make setup OPS=compiled`, which compiles all of MMCV.'
        )

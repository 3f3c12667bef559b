"""Deformable convolution (DCNv1), and with a mask (DCNv2)."""

import torch
import torchvision  # noqa: F401  registers torch.ops.torchvision
from torch import Tensor

from kd_det.compat.mmcv_ops.precision import at_least_float32

FAR = 1e6  # cells, outside any feature map


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Write the deformable convolution into ``output``.

    Args:
        input: (B, C, H, W).
        weight: (D, C / ``group``, ``kH``, ``kW``).
        offset: (B, ``deformable_group`` · kH · kW · 2, h, w), the shift of
            each tap, y and x. A tap shifted by NaN reads 0.
        output: (B, D, h, w).
        columns, ones: MMCV's scratch memory.
        dW, dH: The stride.
        padW, padH: Zeros around the input.
        dilationW, dilationH: The dilation.
        group: Groups of channels of the convolution.
        deformable_group: Groups of channels with separate shifts.
        im2col_step: Images at a time; does not affect the result.
    """
    geometry = (dH, dW, padH, padW, dilationH, dilationW)
    groups = (group, deformable_group)
    _forward(output, input, weight, offset, None, None, geometry, groups)


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Write the gradients into ``grad_input`` and ``grad_offset``.

    The gradient of the weight is computed as well and stored in ``columns``
    for :func:`deform_conv_backward_parameters`, which is called next.
    """
    geometry = (dH, dW, padH, padW, dilationH, dilationW)
    groups = (group, deformable_group)
    grads = _backward(
        grad_output, input, weight, offset, None, None, geometry, groups
    )
    grad_input.copy_(grads[0])
    grad_offset.copy_(grads[2])
    columns.resize_(weight.shape).copy_(grads[1])


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Add ``scale`` times the weight's gradient to ``grad_weight``."""
    if columns.shape != grad_weight.shape:  # only the weight is trained
        geometry = (dH, dW, padH, padW, dilationH, dilationW)
        groups = (group, deformable_group)
        columns = _backward(
            grad_output,
            input,
            grad_weight,
            offset,
            None,
            None,
            geometry,
            groups,
        )[1]
    grad_weight.add_(columns, alpha=scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Write the modulated deformable convolution into ``output``.

    Args:
        bias: (D,), used if ``with_bias``.
        mask: (B, ``deformable_group`` · kH · kW, h, w), the factor of each
            tap.

    The other arguments are those of :func:`deform_conv_forward`.
    """
    geometry = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w)
    groups = (group, deformable_group)
    bias = bias if with_bias else None
    _forward(output, input, weight, offset, mask, bias, geometry, groups)


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Write the gradients into ``grad_input`` and the other ``grad_…``."""
    geometry = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w)
    groups = (group, deformable_group)
    grads = _backward(
        grad_output,
        input,
        weight,
        offset,
        mask,
        bias if with_bias else None,
        geometry,
        groups,
    )
    written = [grad_input, grad_weight, grad_offset, grad_mask]
    if with_bias:
        written.append(grad_bias)
    for target, grad in zip(written, grads):
        target.copy_(grad)


def _forward(output, input, weight, offset, mask, bias, geometry, groups):
    arguments = _arguments(input, weight, offset, mask, bias)
    output.copy_(
        torch.ops.torchvision.deform_conv2d(
            *arguments, *geometry, *groups, mask is not None
        )
    )


def _backward(grad, input, weight, offset, mask, bias, geometry, groups):
    """Return the gradients of input, weight, offset, mask and bias."""
    arguments = _arguments(input, weight, offset, mask, bias)
    (grad,) = at_least_float32(grad)
    return torch.ops.torchvision._deform_conv2d_backward(
        grad, *arguments, *geometry, *groups, mask is not None
    )


def _arguments(input, weight, offset, mask, bias) -> tuple[Tensor, ...]:
    """Return torchvision's arguments, with zeros for no mask and no bias.

    torchvision crashes for NaN offsets and has no finite gradient for infinite
    ones. Both are replaced by ``FAR``, where it reads 0 like MMCV.
    """
    if mask is None:
        mask = input.new_zeros((len(input), 1))
    if bias is None:
        bias = input.new_zeros(len(weight))
    input, weight, offset, mask, bias = at_least_float32(
        input, weight, offset, mask, bias
    )
    offset = offset.nan_to_num(nan=FAR).clamp(-FAR, FAR)
    return input, weight, offset, mask, bias

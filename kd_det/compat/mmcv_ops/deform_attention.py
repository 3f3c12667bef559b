"""Multi-scale deformable attention with MMCV's torch function.

MMCV's module itself calls that function on a CPU and for bfloat16; on a GPU it
calls these two operators.
"""

import torch
from torch import Tensor

from kd_det.compat.mmcv_ops.precision import at_least_float32


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Return the attention's output, (B, Q, heads · D).

    Args:
        value: (B, sum of H·W over the levels, heads, D).
        value_spatial_shapes: (levels, 2), H and W.
        value_level_start_index: (levels,), unused.
        sampling_locations: (B, Q, heads, levels, points, 2), x and y in
            [0, 1].
        attention_weights: (B, Q, heads, levels, points).
        im2col_step: Unused.
    """
    inputs = at_least_float32(value, sampling_locations, attention_weights)
    return _attend(value_spatial_shapes, *inputs).to(value.dtype)


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Write the gradients of the inputs into the three ``grad_…``.

    The forward pass is recomputed, so that nothing has to be stored.
    """
    inputs = at_least_float32(value, sampling_locations, attention_weights)
    (grad,) = at_least_float32(grad_output)
    with torch.enable_grad():
        inputs = [tensor.detach().requires_grad_() for tensor in inputs]
        output = _attend(value_spatial_shapes, *inputs)
        grads = torch.autograd.grad(output, inputs, grad)
    targets = (grad_value, grad_sampling_loc, grad_attn_weight)
    for target, grad in zip(targets, grads):
        target.copy_(grad)


def _attend(shapes: Tensor, value, locations, weights) -> Tensor:
    # imported here, since it imports mmcv._ext
    from mmcv.ops.multi_scale_deform_attn import (
        multi_scale_deformable_attn_pytorch,
    )

    # as numbers, to synchronise once instead of at each level
    shapes = shapes.tolist()
    return multi_scale_deformable_attn_pytorch(
        value, shapes, locations, weights
    )

"""Floating-point precision of the operators."""

import torch
from torch import Tensor


def at_least_float32(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Convert tensors to float64 if the first one is, otherwise to float32.

    Half-precision input is computed in float32; the result is rounded once, to
    the dtype of the output tensor.
    """
    dtype = torch.float32
    if tensors[0].dtype == torch.float64:
        dtype = torch.float64
    return tuple(tensor.to(dtype) for tensor in tensors)

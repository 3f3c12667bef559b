"""In which precision an operator computes."""

import torch
from torch import Tensor


def at_least_float32(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the tensors in float64 where the first one is, else in float32.

    Half-precision input is computed in float32; what the operator writes is
    rounded once, to the dtype of the tensor that it writes into.
    """
    dtype = torch.float32
    if tensors[0].dtype == torch.float64:
        dtype = torch.float64
    return tuple(tensor.to(dtype) for tensor in tensors)

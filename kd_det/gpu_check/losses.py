"""Compare all losses on a device with the CPU, also in half precision."""

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from kd_det.gpu_check.cases import (
    arguments,
    functions,
    inputs,
    modules,
    placed,
    tensors,
    trained,
)
from kd_det.gpu_check.rows import Row, judged

CPU = torch.device('cpu')
# Relative to the largest entry of the reference: float64 on the CPU.
LIMITS = {
    torch.float64: 1e-6,  # some store a norm or a count in float32
    torch.float32: 1e-4,
    # the losses compute in float32; only the inputs (also of the reference)
    # and the gradient are half precision
    torch.float16: 1e-2,
    torch.bfloat16: 3e-2,
}
NAMES = {
    torch.float64: 'float64',
    torch.float32: 'float32',
    torch.float16: 'fp16 AMP',
    torch.bfloat16: 'bf16 AMP',
}


def check_losses(device: torch.device) -> Iterator[Row]:
    """Yield one row per precision for functions and for losses."""
    for what, cases in (('functions', functions()), ('losses', modules())):
        for dtype, limit in LIMITS.items():
            errors = {
                name: error(loss, device, dtype)
                for name, loss in cases.items()
            }
            yield judged(f'{what}, {NAMES[dtype]}', errors, limit)


def error(loss: Callable, device: torch.device, dtype: torch.dtype) -> float:
    """Return the error of value and gradient relative to the CPU.

    Args:
        loss: Function or module.
        device: Device to test.
        dtype: Dtype of the inputs; half precision uses autocast, as in
            training.

    Returns:
        Largest difference divided by the largest entry of the reference;
        infinity if the result is not finite.
    """
    taken = arguments(loss, inputs())
    given = {k: placed(v, CPU, dtype) for k, v in taken.items()}
    half = dtype in (torch.float16, torch.bfloat16)
    with torch.autocast(device.type, dtype if half else None, enabled=half):
        mine = _outcome(loss, given, device, dtype)
    theirs = _outcome(loss, given, CPU, torch.float64)
    if len(mine) != len(theirs):
        return float('inf')
    return max(distance(*pair) for pair in zip(mine, theirs))


def _outcome(
    loss: Callable, given: dict, device: torch.device, dtype: torch.dtype
) -> list[Tensor]:
    """Return results and gradients, in float64 on the CPU."""
    if isinstance(loss, nn.Module):
        loss = copy.deepcopy(loss).to(device)  # some have state or weights
        if dtype == torch.float64:
            loss = loss.double()
    given = {k: placed(v, device, dtype) for k, v in given.items()}
    leaves = trained(given)
    for leaf in leaves:
        leaf.requires_grad_()
    results = tensors(loss(**given))
    graded = [r for r in results if r.requires_grad]
    if graded:
        sum(result.sum() for result in graded).backward()
    results += [leaf.grad for leaf in leaves if leaf.grad is not None]
    return [result.detach().cpu().double() for result in results]


def distance(mine: Tensor, theirs: Tensor) -> float:
    """Return the largest difference divided by the second's largest entry.

    It is infinity if the shapes differ or the first is not finite.
    """
    if mine.shape != theirs.shape or not mine.isfinite().all():
        return float('inf')
    largest = theirs.abs().max().clamp(min=1e-12)
    return float((mine - theirs).abs().max() / largest)

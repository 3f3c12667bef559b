"""Batch norm that does not count a batch, or a part of it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase


@contextmanager
def statistics_kept(model: nn.Module) -> Iterator[None]:
    """Keep the running statistics of batch norms as they are.

    Args:
        model: Its norms that train go on using those of the batch.
    """
    norms = [
        module
        for module in model.modules()
        if isinstance(module, _NormBase)
        and module.training
        and module.track_running_stats
    ]
    try:
        for norm in norms:
            norm.track_running_stats = False
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def normalized(norm: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    """Return what a batch norm makes of a map of which a part counts.

    In training the statistics are those of the cells that count.

    Args:
        norm: A ``BatchNorm2d``; any other module is applied as it is.
        x: Map (N, C, H, W).
        mask: Which cells count, boolean (N, 1, H, W), or None for all.
    """
    if mask is None or not norm.training or type(norm) is not nn.BatchNorm2d:
        return norm(x)
    with torch.autocast(x.device.type, enabled=False):
        x = x.to(norm.weight.dtype)
        count = mask.sum().clamp(min=1)
        # where, not multiply: padding may hold anything
        mean = x.where(mask, 0.0).sum((0, 2, 3)) / count
        gap = x - mean[:, None, None]
        var = gap.where(mask, 0.0).square().sum((0, 2, 3)) / count
        if norm.track_running_stats:
            with torch.no_grad():
                unbiased = var * count / (count - 1).clamp(min=1)
                norm.running_mean.lerp_(mean, norm.momentum)
                norm.running_var.lerp_(unbiased, norm.momentum)
                norm.num_batches_tracked += 1
        scale = norm.weight * (var + norm.eps).rsqrt()
        return gap * scale[:, None, None] + norm.bias[:, None, None]

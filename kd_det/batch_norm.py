"""Batch norm that ignores a batch or parts of it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase


@contextmanager
def statistics_kept(model: nn.Module) -> Iterator[None]:
    """Do not update the running statistics of batch norms.

    Args:
        model: Model whose batch norms in training mode still use batch
            statistics.
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
    """Apply a batch norm to a feature map with a mask.

    In training, the statistics are computed over the masked cells only.

    Args:
        norm: A ``BatchNorm2d``; any other module is applied directly.
        x: Feature map (N, C, H, W).
        mask: Cells to use, boolean (N, 1, H, W), or None for all.
    """
    if mask is None or not norm.training or type(norm) is not nn.BatchNorm2d:
        return norm(x)
    with torch.autocast(x.device.type, enabled=False):
        x = x.to(norm.weight.dtype)
        count = mask.sum().clamp(min=1)
        # where instead of multiply: padding may be NaN
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

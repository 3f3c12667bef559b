"""Batch norm that sees a batch and does not count it."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
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

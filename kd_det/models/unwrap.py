"""Unwrap the network from a runner's wrapper."""

from mmengine.model import is_model_wrapper
from torch import nn


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model inside a wrapper such as MMDistributedDataParallel.

    Args:
        model: ``runner.model``, wrapped or not.
    """
    return model.module if is_model_wrapper(model) else model

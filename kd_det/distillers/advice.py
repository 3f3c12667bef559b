"""Suggests a distiller that fits a network, for error messages."""

from torch import nn


def distiller_for(model: nn.Module) -> str:
    """Return the name of the distiller for a network's head."""
    head = getattr(getattr(model, 'roi_head', None), 'bbox_head', None)
    stages = [*head] if isinstance(head, nn.ModuleList) else [head]
    if all(hasattr(stage, 'fc_cls') for stage in stages):
        return 'RoIDistiller'
    if hasattr(getattr(model, 'bbox_head', None), 'prior_generator'):
        return 'DenseDistiller'
    if hasattr(model, 'forward_transformer'):
        return 'QueryDistiller'
    if hasattr(model, 'head'):
        return 'LogitDistiller'
    return 'FeatureDistiller'


def advice(model: nn.Module, other: nn.Module) -> str:
    """Return which distiller to use instead, to end an error message.

    Args:
        model: The network that does not fit the distiller.
        other: The other network of the pair, which must fit too.
    """
    fits = distiller_for(model)
    if distiller_for(other) == fits:
        return f'use {fits} for this network.'
    return (
        f'the heads of a {type(model).__name__} and a {type(other).__name__} '
        'have nothing in common; use FeatureDistiller.'
    )

"""Which distiller fits a network, for the message where another does not."""

from torch import nn


def distiller_for(model: nn.Module) -> str:
    """Return the name of the distiller for the head of a network."""
    head = getattr(getattr(model, 'roi_head', None), 'bbox_head', None)
    stages = [*head] if isinstance(head, nn.ModuleList) else [head]
    if all(hasattr(stage, 'fc_cls') for stage in stages):
        return 'RoIDistiller'
    if hasattr(getattr(model, 'bbox_head', None), 'prior_generator'):
        return 'DenseDistiller'
    if hasattr(model, 'head'):
        return 'LogitDistiller'
    return 'FeatureDistiller'


def advice(model: nn.Module, other: nn.Module) -> str:
    """Return what to take instead, for the end of a sentence.

    Args:
        model: The network that a distiller does not fit.
        other: The other side of the pair, which must fit too.
    """
    fits = distiller_for(model)
    if distiller_for(other) == fits:
        return f'for this network there is {fits}.'
    return (
        f'the heads of a {type(model).__name__} and a '
        f'{type(other).__name__} have nothing in common, so take '
        'FeatureDistiller.'
    )

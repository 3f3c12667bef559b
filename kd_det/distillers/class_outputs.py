"""Checks that a classification layer outputs logits."""

import torch
from torch import Tensor, nn

from kd_det import random_state
from kd_det.errors import UserError

LARGE = 1e3  # scale of inputs that reveal a bounded output
USE = 'use FeatureDistiller on the levels of the neck'


def check_layer(layer: nn.Module, name: str) -> None:
    """Raise unless a classification layer is a single linear layer.

    Args:
        layer: Classification layer of a head.
        name: Its name in messages.

    Raises:
        UserError: It has no ``in_features`` and ``out_features``.
    """
    widths = (getattr(layer, f'{side}_features', 0) for side in ('in', 'out'))
    if not all(isinstance(width, int) and width > 0 for width in widths):
        raise UserError(
            f'{name} is a {type(layer).__name__}, and a linear layer is '
            f'required; {USE}.'
        )


def check_logits(layer: nn.Module, name: str) -> None:
    """Raise if the output of a classification layer is bounded by 1.

    Args:
        layer: Classification layer of a head.
        name: Its name in messages.

    Raises:
        UserError: It outputs probabilities or cosines.
    """
    if type(layer).forward is nn.Linear.forward:
        return
    weight = next(layer.parameters())
    with random_state.isolated(), torch.no_grad():
        torch.manual_seed(0)
        inputs = LARGE * torch.randn(16, layer.in_features)
        outputs = layer(inputs.to(weight))
    if outputs.abs().max() <= 1 and len(outputs.unique()) > 1:
        raise UserError(
            f'{name}, a {type(layer).__name__}, outputs probabilities or '
            f'cosines ({outputs.min():.2g} to {outputs.max():.2g} for any '
            'input), and a loss asks for logits; use losses on embeddings or '
            'FeatureDistiller.'
        )


def looks_like_probabilities(outputs: list[Tensor]) -> bool:
    """Return whether class maps are not constant, and within 0 to 1.

    Args:
        outputs: Class maps of a head for random inputs.
    """
    least = min(float(level.min()) for level in outputs)
    most = max(float(level.max()) for level in outputs)
    return 0 <= least < most <= 1

"""Do class logits belong to a softmax, or to a sigmoid for each class?"""

import logging

import torch
from mmengine.logging import print_log
from torch import nn

from kd_det.errors import UserError
from kd_det.losses import DistillLoss

USE = (
    'use a loss for independent classes: SigmoidKDLoss, on a one-stage head '
    'also DenseKDLoss'
)


def of_softmax(
    losses: nn.ModuleDict, wiring: dict[str, tuple[str, ...]]
) -> list[str]:
    """Return the names of the losses that take a softmax of logits.

    Args:
        losses: Name -> loss.
        wiring: Name -> fields of the loss.
    """
    return [
        name
        for name, loss in losses.items()
        if _takes_softmax(loss)
        and any(field.endswith('logits') for field in wiring[name])
    ]


def _takes_softmax(loss: DistillLoss) -> bool:
    return loss.least_classes > 1  # the softmax of one logit is constant


def check_softmax(losses: list[str], side: str, head: nn.Module) -> None:
    """Raise if a head scores each class by itself, and a loss all together.

    Logits of a softmax say which class is the more likely, those of a sigmoid
    say so of each class: in an image of two classes a softmax shows one half.

    Args:
        losses: Names of losses that take a softmax.
        side: ``'student'`` or ``'teacher'``.
        head: Of a classifier, or a box head.

    Raises:
        UserError: The head's predictions are sigmoids of its logits.
    """
    if not losses:
        return
    if _predicts_sigmoids(head):
        raise UserError(
            f'{_told(losses, side, head)} predicts a sigmoid for each class '
            '(multi-label), but the loss compares the softmax over all; '
            f'{USE}.'
        )
    if _trains_sigmoids(head):
        warn_of_sigmoids(losses, side, head)


def warn_of_sigmoids(losses: list[str], side: str, head: nn.Module) -> None:
    """Warn of losses that take the softmax of a sigmoid's logits.

    Args:
        losses: Names of losses that take a softmax; none is no warning.
        side: ``'student'`` or ``'teacher'``.
        head: Trained with a sigmoid for each class.
    """
    if losses:
        print_log(
            f'{_told(losses, side, head)} is trained with a sigmoid for each '
            f'class, but the loss compares the softmax over all; {USE}.',
            'current',
            logging.WARNING,
        )


def _told(losses: list[str], side: str, head: nn.Module) -> str:
    return f"{', '.join(losses)}: the {side}'s {type(head).__name__}"


def _predicts_sigmoids(head: nn.Module) -> bool:
    """Ask a head for its scores of made-up logits."""
    predict = getattr(head, '_get_predictions', None)  # MMPretrain's
    logits = torch.tensor([[2.0, -1.0]])
    try:
        if predict is not None:
            scores = predict(logits, None)[0].pred_score
        elif getattr(head, 'custom_activation', False):  # MMDetection's
            scores = head.loss_cls.get_activation(logits)[0]
        else:
            return False
    except Exception:  # it wants something else: nothing is known of it
        return False
    return scores.shape == (2,) and torch.allclose(scores, logits[0].sigmoid())


def _trains_sigmoids(head: nn.Module) -> bool:
    loss = getattr(head, 'loss_module', getattr(head, 'loss_cls', None))
    return isinstance(loss, nn.Module) and any(
        getattr(part, 'use_sigmoid', False)
        or isinstance(part, nn.BCEWithLogitsLoss)
        for part in loss.modules()
    )

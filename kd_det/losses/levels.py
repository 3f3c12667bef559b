"""Helpers for losses on several feature levels."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from kd_det.errors import UserError
from kd_det.losses.base import DistillLoss


def check_levels(
    loss: DistillLoss, ours: Sequence[Tensor], theirs: Sequence[Tensor]
) -> None:
    """Raise unless student and teacher have the same number of maps.

    Args:
        loss: The loss, for the message.
        ours: Student feature maps.
        theirs: Teacher feature maps.

    Raises:
        UserError: The numbers differ or are 0.
    """
    if not len(ours) == len(theirs) > 0:
        raise UserError(
            f'{type(loss).__name__} got {len(ours)} maps of the student and '
            f'{len(theirs)} of the teacher; set the same number of tap '
            'points for both, at least one.'
        )


def check_same_shapes(
    loss: DistillLoss, ours: Sequence[Tensor], theirs: Sequence[Tensor]
) -> None:
    """Raise unless the maps of student and teacher have equal shapes.

    Args:
        loss: The loss, for the message.
        ours: Student feature maps.
        theirs: Teacher feature maps.

    Raises:
        UserError: The shapes differ, or there is no map.
    """
    mine = [tuple(level.shape) for level in ours]
    other = [tuple(level.shape) for level in theirs]
    if mine != other or not mine:
        raise UserError(
            f'{type(loss).__name__} requires equal shapes, but student_feats '
            f'has {mine} and teacher_feats {other}; set matching tap points, '
            'or add connectors=dict(student_feats=…) to the distiller.'
        )


def same_sizes(ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    """Average-pool the larger of two maps to the smaller along each axis.

    Args:
        ours: Shape (N, C, H, W).
        theirs: Shape (N, C', H', W').
    """
    height, width = map(min, ours.shape[2:], theirs.shape[2:])
    return _pooled(ours, (height, width)), _pooled(theirs, (height, width))


def _pooled(level: Tensor, size: tuple[int, int]) -> Tensor:
    if level.shape[2:] == size:
        return level
    return F.adaptive_avg_pool2d(level, size)

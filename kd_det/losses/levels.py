"""What the losses on several levels of maps have in common."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from kd_det.errors import UserError
from kd_det.losses.base import DistillLoss


def check_levels(
    loss: DistillLoss, ours: Sequence[Tensor], theirs: Sequence[Tensor]
) -> None:
    """Stop unless both sides have as many maps, at least one.

    Args:
        loss: For the message.
        ours: The student's.
        theirs: The teacher's.

    Raises:
        UserError: They have not.
    """
    if not len(ours) == len(theirs) > 0:
        raise UserError(
            f'{type(loss).__name__} got {len(ours)} maps of the student and '
            f'{len(theirs)} of the teacher; name as many points on both '
            'sides, at least one.'
        )


def same_sizes(ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    """Return two maps, the larger one average-pooled, each axis by itself.

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

"""DistillLoss: weight, schedule scale and the one reducer."""

import inspect
import math
from numbers import Real
from typing import NamedTuple

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor, nn

from kd_det.errors import UserError
from kd_det.losses.auto_weight import AutoWeight


class Fields(NamedTuple):
    """The knowledge a loss asks for: what it needs, what it can use."""

    required: tuple[str, ...]
    optional: tuple[str, ...]


class DistillLoss(nn.Module):
    """Base of all losses: a formula of ``kd_det.functional``, weighted.

    A subclass writes ``forward``; the names of its parameters are the
    wiring: a distiller hands each the knowledge of that name, and a
    parameter with a default may stay away. ``forward`` returns
    ``self.mean(per_sample)`` or ``self.weigh(scalar)``.

    Args:
        loss_weight: Constant factor of the loss.

    Raises:
        UserError: The weight is no finite number.
    """

    # Whether a field of the student is compared entry by entry with the
    # teacher's, so that both must be equally wide.
    entrywise = True
    # Whether it cannot grow for ever, so that its negative is a loss too.
    bounded = False
    # Columns that the logits must have.
    least_classes = 1
    loss_weight: float
    scale: float

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        if not (isinstance(loss_weight, Real) and math.isfinite(loss_weight)):
            raise UserError(
                f'{type(self).__name__}: loss_weight={loss_weight!r}; a '
                'finite number is accepted.'
            )
        self.loss_weight = loss_weight
        self.scale = 1.0  # LossScheduleHook writes it
        self.auto_weight: AutoWeight | None = None  # of the config

    @classmethod
    def fields(cls) -> Fields:
        """Return the fields that ``forward`` asks for."""
        parameters = inspect.signature(cls.forward).parameters.values()
        asked = [p for p in parameters if p.name != 'self']
        return Fields(
            tuple(p.name for p in asked if p.default is p.empty),
            tuple(p.name for p in asked if p.default is not p.empty),
        )

    def hard(self, labels: Tensor) -> Tensor:
        """Return class indices (N,) as they are, and stop at soft labels.

        Raises:
            UserError: The labels are floating and (N, K), as mixup and
                cutmix make them.
        """
        if is_soft(labels):
            raise UserError(
                f'{type(self).__name__} needs one class a sample, but got '
                f'soft labels {tuple(labels.shape)} of {labels.dtype}; take '
                'mixup, cutmix and the like out of the train augments or use '
                'a loss without labels, such as KDLoss.'
            )
        return labels

    @property
    def config_weight(self) -> float:
        """What ``loss_weight`` of the config is, given or by default."""
        return self.loss_weight

    @property
    def factor(self) -> float:
        """What ``auto_weight`` has put before the loss, else 1."""
        return 1.0 if self.auto_weight is None else self.auto_weight.value

    def weigh(self, value: Tensor) -> Tensor:
        """Return ``value`` times weight, schedule scale and factor."""
        return value * (self.loss_weight * self.scale * self.factor)

    def mean(self, per_sample: Tensor, keep: Tensor | None = None) -> Tensor:
        """Return the weighted mean over samples, or over those kept.

        The count is that of all ranks, so that the average of the ranks'
        gradients is the gradient of the global mean. Nothing to average
        gives a 0 that is still connected to the graph.

        Args:
            per_sample: Unreduced loss (N,).
            keep: Boolean mask (N,); all samples count without it.

        Returns:
            Scalar.
        """
        if keep is None:
            count = per_sample.new_full((), len(per_sample))
        else:
            # where, not multiply: a dropped row may hold anything
            per_sample = torch.where(keep, per_sample, 0.0)
            count = keep.sum().to(per_sample.dtype)
        if get_world_size() > 1:
            all_reduce(count, op='mean')
        # an average below one sample a rank is still a plain average
        divisor = torch.where(count > 0, count, 1.0)
        return self.weigh(per_sample.sum() / divisor)


def is_soft(labels: Tensor) -> bool:
    """Return whether labels are weights of classes (N, K), not indices."""
    return labels.ndim == 2 and labels.is_floating_point()

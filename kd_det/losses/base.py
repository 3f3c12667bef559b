"""DistillLoss: the base of all losses, with weighting and reduction."""

import inspect
import math
from collections.abc import Sequence
from numbers import Real
from typing import NamedTuple

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor, nn

from kd_det.errors import UserError
from kd_det.losses.auto_weight import AutoWeight


class Fields(NamedTuple):
    """Names of the required and optional fields of a loss."""

    required: tuple[str, ...]
    optional: tuple[str, ...]


class DistillLoss(nn.Module):
    """Base of all losses: a weighted function of ``kd_det.functional``.

    A subclass implements ``forward``. Its parameter names define the inputs: a
    distiller passes each parameter the field of the same name; parameters with
    defaults are optional. ``forward`` returns ``self.mean(per_sample)`` or
    ``self.weigh(scalar)``.

    Args:
        loss_weight: Constant factor of the loss.

    Raises:
        UserError: The weight is not a finite number.
    """

    # Whether a student field is compared element-wise with the teacher's,
    # which requires equal widths.
    entrywise = True
    # Whether the loss is bounded above, so that its negative is a valid loss.
    bounded = False
    # Minimum number of logits.
    least_classes = 1
    # Whether it stops at labels of mixed images, see ``hard``.
    hard_labels = False
    # Columns that the labels count, where the loss is told.
    columns: int | None = None
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
        self.scale = 1.0  # set by LossScheduleHook
        self.auto_weight: AutoWeight | None = None  # from the config

    @classmethod
    def fields(cls) -> Fields:
        """Return the names of the fields that ``forward`` takes."""
        parameters = inspect.signature(cls.forward).parameters.values()
        asked = [p for p in parameters if p.name != 'self']
        return Fields(
            tuple(p.name for p in asked if p.default is p.empty),
            tuple(p.name for p in asked if p.default is not p.empty),
        )

    def build_weights(self, channels: Sequence[int]) -> None:
        """Build trainable weights, for a loss on feature maps that has some.

        ``FeatureDistiller`` calls this once, when both networks are known.

        Args:
            channels: Channels of the teacher's levels.
        """

    def count_classes(self, columns: int) -> None:
        """Take the number of classes, for a loss that was given none.

        The distillers of classes call this once, when both networks are known.

        Args:
            columns: Number of the student's logits, including background.
        """

    def hard(self, labels: Tensor) -> Tensor:
        """Return class indices (N,) unchanged; raise for soft labels.

        Raises:
            UserError: The labels are soft labels (N, K), as from mixup or
                cutmix.
        """
        if is_soft(labels):
            raise UserError(
                f'{type(self).__name__} needs one class per sample, but got '
                f'soft labels {tuple(labels.shape)} of {labels.dtype}; '
                'remove mixup, cutmix and the like from the train augments '
                'or use a loss without labels, such as KDLoss.'
            )
        return labels

    @property
    def config_weight(self) -> float:
        """``loss_weight`` of the config, or its default."""
        return self.loss_weight

    @property
    def factor(self) -> float:
        """Current factor of ``auto_weight``, or 1."""
        return 1.0 if self.auto_weight is None else self.auto_weight.value

    def weigh(self, value: Tensor) -> Tensor:
        """Return ``value`` times weight, schedule scale and factor."""
        return value * (self.loss_weight * self.scale * self.factor)

    def mean(self, per_sample: Tensor, keep: Tensor | None = None) -> Tensor:
        """Return the weighted mean over all or the selected samples.

        The count includes all ranks, so that averaging the gradients over
        ranks gives the gradient of the global mean. Without samples the result
        is a 0 that is still connected to the graph.

        Args:
            per_sample: Unreduced loss (N,).
            keep: Boolean mask (N,) of the samples to use; default: all.

        Returns:
            Scalar.
        """
        if keep is None:
            count = per_sample.new_full((), len(per_sample))
        else:
            # where instead of multiply: a dropped row may be NaN
            per_sample = torch.where(keep, per_sample, 0.0)
            count = keep.sum().to(per_sample.dtype)
        count = over_ranks(count)
        # keep a plain average for less than one sample per rank
        divisor = torch.where(count > 0, count, 1.0)
        return self.weigh(per_sample.sum() / divisor)


def is_soft(labels: Tensor) -> bool:
    """Return whether labels are class weights (N, K) instead of indices."""
    return labels.ndim == 2 and labels.is_floating_point()


def over_ranks(value: Tensor) -> Tensor:
    """Return the average of a value over ranks; it is changed in place.

    Args:
        value: The value of this rank, without a gradient.
    """
    if get_world_size() > 1:
        all_reduce(value, op='mean')
    return value

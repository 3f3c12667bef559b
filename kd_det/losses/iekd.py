"""IE-KD: one half of the student inherits, the other explores."""

from collections.abc import Callable, Sequence

from torch import Tensor

from kd_det.checks import check_choice, check_not_negative
from kd_det.functional import exploration_loss, inheritance_loss
from kd_det.functional._common import total
from kd_det.losses.base import DistillLoss
from kd_det.losses.levels import check_levels, same_sizes
from kd_det.masks import fitting
from kd_det.registry import MODELS

Maps = Sequence[Tensor]
Masks = Sequence[Tensor | None]
NORMS = (1, 2, 'cos')


class _FactorLoss(DistillLoss):
    entrywise = False  # compares factors, whose widths are set explicitly

    def __init__(self, p: int | str = 1, loss_weight: float = 1.0) -> None:
        # a negative weight would reverse the direction
        name = type(self).__name__
        super().__init__(check_not_negative(name, 'loss_weight', loss_weight))
        self.p = check_choice(name, 'p', p, NORMS)

    def over_levels(
        self, term: Callable, ours: Maps, theirs: Maps, masks: Masks | None
    ) -> Tensor:
        """Return the weighted mean of a factor loss over the levels."""
        check_levels(self, ours, theirs)
        masks = masks or [None] * len(ours)
        values = [
            self._level(term, *level) for level in zip(ours, theirs, masks)
        ]
        return self.weigh(total(values) / len(values))

    def _level(
        self, term: Callable, ours: Tensor, theirs: Tensor, mask
    ) -> Tensor:
        ours, theirs = same_sizes(ours, theirs)
        value = term(ours, theirs, self.p)
        mask = fitting(mask, ours)
        if self.p == 'cos' or mask is None:
            return value
        # padding is equal in both factors and is excluded from the mean
        share = mask.sum().to(value.dtype) / max(mask.numel(), 1)
        return value / share.clamp(min=1e-6) ** (1 / self.p)


@MODELS.register_module()
class InheritanceLoss(_FactorLoss):
    r"""IE-KD, inheritance: pull the inheriting half's factor to the teacher's.

    .. math:: L = \frac1{levels} \sum_{levels} S_p(f, t)

    with :func:`kd_det.functional.inheritance_loss`. Padding is ignored. If the
    sizes differ, the larger factor is average-pooled to the smaller.

    Args:
        p: 1 (mean absolute difference of unit vectors), 2 (root mean square)
            or ``'cos'`` (1 - cosine).
        loss_weight: Constant factor of the loss, at least 0.

    Raises:
        UserError: ``p`` is unknown, or the weight is negative.

    Paper: https://arxiv.org/abs/2107.00181
    """

    def forward(
        self,
        student_inherit_factors: Maps,
        teacher_factors: Maps,
        feat_masks: Masks | None = None,
    ) -> Tensor:
        """Return the weighted loss of factors (N, m, H, W) as a scalar."""
        return self.over_levels(
            inheritance_loss,
            student_inherit_factors,
            teacher_factors,
            feat_masks,
        )


@MODELS.register_module()
class ExplorationLoss(_FactorLoss):
    r"""IE-KD, exploration: push the exploring half's factor away.

    .. math:: L = \frac1{levels} \sum_{levels} -S_p(f, t)

    with :func:`kd_det.functional.exploration_loss`, at most 0; for ``p='cos'``
    the mean of :math:`|\cos|`, at least 0. For p 1 and 2 the negated teacher
    factor is an optimum that teaches nothing: monitor ``explore_cosine`` of
    ``FactorCosineHook``.

    Args:
        p: 1, 2 or ``'cos'``.
        loss_weight: Constant factor of the loss, at least 0; the sign is part
            of the loss.

    Raises:
        UserError: ``p`` is unknown, or the weight is negative.

    Paper: https://arxiv.org/abs/2107.00181
    """

    def forward(
        self,
        student_explore_factors: Maps,
        teacher_factors: Maps,
        feat_masks: Masks | None = None,
    ) -> Tensor:
        """Return the weighted loss of factors (N, m, H, W) as a scalar."""
        return self.over_levels(
            exploration_loss,
            student_explore_factors,
            teacher_factors,
            feat_masks,
        )

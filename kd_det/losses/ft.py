"""FT: match the student's factor to the teacher's paraphrased factor."""

from collections.abc import Sequence

from torch import Tensor

from kd_det.functional import factor_transfer_loss
from kd_det.functional._common import total
from kd_det.losses.base import DistillLoss
from kd_det.losses.levels import check_levels, same_sizes
from kd_det.masks import fitting
from kd_det.registry import MODELS

Maps = Sequence[Tensor]


@MODELS.register_module()
class FactorTransferLoss(DistillLoss):
    r"""Mean absolute difference of normalised factors, averaged over levels.

    .. math:: L = \frac1{levels} \sum_{levels} \frac{1}{N n}
        \sum_{i,j} |u(f_i)_j - u(t_i)_j|

    with :func:`kd_det.functional.factor_transfer_loss`, :math:`n = m H W`.
    Padding is ignored. If the sizes differ, the larger factor is
    average-pooled to the smaller.

    Args:
        loss_weight: Constant factor of the loss; 500 in the authors' code.

    Paper: https://arxiv.org/abs/1802.04977
    """

    entrywise = False  # compares factors, whose widths are set explicitly

    def forward(
        self,
        student_factors: Maps,
        teacher_factors: Maps,
        feat_masks: Sequence[Tensor | None] | None = None,
    ) -> Tensor:
        """Return the weighted loss of factors (N, m, H, W) as a scalar."""
        check_levels(self, student_factors, teacher_factors)
        masks = feat_masks or [None] * len(student_factors)
        levels = [*zip(student_factors, teacher_factors, masks)]
        per_sample = total(_level(*level) for level in levels) / len(levels)
        return self.mean(per_sample)


def _level(ours: Tensor, theirs: Tensor, mask: Tensor | None) -> Tensor:
    ours, theirs = same_sizes(ours, theirs)
    per_sample = factor_transfer_loss(ours, theirs)
    mask = fitting(mask, ours)
    if mask is None:
        return per_sample
    # padding is equal in both factors and is excluded from the mean
    share = mask.to(per_sample.dtype).mean((1, 2, 3))
    return per_sample / share.clamp(min=1e-6)

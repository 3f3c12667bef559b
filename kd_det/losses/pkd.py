"""PKD: channel-wise correlation of feature maps."""

from collections.abc import Sequence

from torch import Tensor

from kd_det.functional import pkd_loss
from kd_det.functional._common import total
from kd_det.losses.base import DistillLoss
from kd_det.losses.levels import check_same_shapes
from kd_det.registry import MODELS


@MODELS.register_module()
class PKDLoss(DistillLoss):
    r"""One minus the Pearson correlation of each channel, summed over levels.

    .. math::
        L = \sum_{levels} \frac1C \sum_c (1 - r_c)

    with :math:`r_c` the correlation of channel c over its :math:`M = N H W`
    entries in the batch of this process. The maps must have equal shapes; use
    a connector if necessary.

    Args:
        loss_weight: Constant factor of the loss.

    Paper: https://arxiv.org/abs/2207.02039

    Differs from the authors' code: the loss of a level is M / (M - 1) times
    theirs, since they divide by M - 1 in the standard deviation. Different
    sizes are an error instead of being resized.
    """

    def forward(
        self,
        student_feats: Sequence[Tensor],
        teacher_feats: Sequence[Tensor],
        feat_masks: Sequence[Tensor | None] | None = None,
    ) -> Tensor:
        """Return the weighted loss of feature maps (N, C, H, W), a scalar.

        Masks (N, 1, H, W) mark the entries to use; None for a level without
        padding.

        Raises:
            UserError: The shapes of the feature maps differ.
        """
        check_same_shapes(self, student_feats, teacher_feats)
        masks = feat_masks or [None] * len(student_feats)
        levels = zip(student_feats, teacher_feats, masks)
        return self.weigh(
            total(pkd_loss(_kept(s, m), _kept(t, m)) for s, t, m in levels)
        )


def _kept(level: Tensor, mask: Tensor | None) -> Tensor:
    """Return the selected entries as a map (1, C, M, 1)."""
    if mask is None:
        return level
    entries = level.permute(0, 2, 3, 1)[mask[:, 0]]
    return entries.T[None, ..., None]

"""PKD's loss: maps compared up to the mean and scale of a channel."""

from collections.abc import Sequence

from torch import Tensor

from kd_det.errors import UserError
from kd_det.functional import pkd_loss
from kd_det.functional._common import total
from kd_det.losses.base import DistillLoss
from kd_det.registry import MODELS


@MODELS.register_module()
class PKDLoss(DistillLoss):
    r"""One minus Pearson's correlation of each channel, summed over levels.

    .. math::
        L = \sum_{levels} \frac1C \sum_c (1 - r_c)

    with :math:`r_c` the correlation of a channel in both maps, over the
    :math:`M = N H W` entries that it has in the batch of this process. The
    maps have been brought to equal shapes, if need be by a connector.

    Args:
        loss_weight: Constant factor of the loss.

    Paper: https://arxiv.org/abs/2207.02039

    Differs from the authors' code: a level is M / (M - 1) of theirs, since
    they divide by M - 1 where a standard deviation has M. Where sizes differ
    they resize; this stops.
    """

    def forward(
        self,
        student_feats: Sequence[Tensor],
        teacher_feats: Sequence[Tensor],
        feat_masks: Sequence[Tensor | None] | None = None,
    ) -> Tensor:
        """Return the weighted loss of maps (N, C, H, W) as a scalar.

        Masks (N, 1, H, W), or None for a level without padding, mark the
        entries that count.

        Raises:
            UserError: The maps of the two sides have not the same shapes.
        """
        ours = [tuple(level.shape) for level in student_feats]
        theirs = [tuple(level.shape) for level in teacher_feats]
        if ours != theirs or not ours:
            raise UserError(
                'PKDLoss compares maps of equal shapes, but student_feats '
                f'has {ours} and teacher_feats {theirs}; name points that '
                'match on both sides, or add connectors=dict('
                'student_feats=…) to the distiller.'
            )
        masks = feat_masks or [None] * len(ours)
        levels = zip(student_feats, teacher_feats, masks)
        return self.weigh(
            total(pkd_loss(_kept(s, m), _kept(t, m)) for s, t, m in levels)
        )


def _kept(level: Tensor, mask: Tensor | None) -> Tensor:
    """Return the entries that count as a map (1, C, M, 1)."""
    if mask is None:
        return level
    entries = level.permute(0, 2, 3, 1)[mask[:, 0]]
    return entries.T[None, ..., None]

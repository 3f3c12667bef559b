"""Auto-encoder reconstruction loss, for stage 1 of IE-KD and for IE-DML."""

from collections.abc import Sequence

from torch import Tensor

from kd_det.checks import check_choice, check_not_negative
from kd_det.functional._common import total
from kd_det.losses.base import DistillLoss
from kd_det.masks import fitting
from kd_det.registry import MODELS

Maps = Sequence[Tensor]
Masks = Sequence[Tensor | None]


@MODELS.register_module()
class ReconstructionLoss(DistillLoss):
    r"""Reconstruction error of a peer's auto-encoder (IE-DML).

    .. math:: L = \frac1{levels} \sum_{levels}
        \operatorname{mean} |a(f) - f|^p

    The feature maps are detached, so only the auto-encoder is trained.

    Args:
        p: 1 or 2.
        loss_weight: Constant factor of the loss, at least 0.

    Raises:
        UserError: ``p`` is unknown, or the weight is negative.

    Paper: https://arxiv.org/abs/2107.00181
    """

    entrywise = False

    def __init__(self, p: int = 1, loss_weight: float = 1.0) -> None:
        name = type(self).__name__
        super().__init__(check_not_negative(name, 'loss_weight', loss_weight))
        self.p = check_choice(name, 'p', p, (1, 2))

    def forward(
        self,
        student_reconstructions: Maps,
        student_feats: Maps,
        feat_masks: Masks | None = None,
    ) -> Tensor:
        """Return the weighted loss of maps (N, C, H, W) as a scalar."""
        return self.weigh(
            reconstruction(
                student_reconstructions, student_feats, feat_masks, self.p
            )
        )


def reconstruction(
    decoded: Maps, maps: Maps, masks: Masks | None = None, p: int = 1
) -> Tensor:
    """Return the mean of ``|decoded - map| ** p``, averaged over levels.

    Args:
        decoded: Output of the auto-encoder.
        maps: Feature maps of each level, (N, C, H, W); detached.
        masks: Cells to use at each level, boolean (N, 1, H, W), or None.
        p: 1 or 2.
    """
    masks = masks or [None] * len(maps)
    values = []
    for ours, theirs, mask in zip(decoded, maps, masks):
        gap = (ours.float() - theirs.detach().float()).abs() ** p
        mask = fitting(mask, gap)
        if mask is not None:
            mask = mask.expand_as(gap)
            gap = gap.where(mask, 0.0).sum() / mask.sum().clamp(min=1)
        # an empty batch has no mean
        values.append(gap.mean() if gap.numel() else gap.sum())
    return total(values) / len(values)

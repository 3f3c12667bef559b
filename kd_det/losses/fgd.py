"""FGD: focal and global comparison of feature maps."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kd_det.checks import check_not_negative, check_positive
from kd_det.errors import UserError
from kd_det.functional import fgd_attention_loss, fgd_focal_loss
from kd_det.functional._common import float32_math, total
from kd_det.losses.base import DistillLoss
from kd_det.losses.global_context import GlobalContext
from kd_det.losses.levels import check_same_shapes
from kd_det.registry import MODELS

Maps = Sequence[Tensor]
Masks = Sequence[Tensor | None]


@MODELS.register_module()
class FGDFocalLoss(DistillLoss):
    r"""Squared differences, weighted by objects and attention, over levels.

    .. math::
        L = \frac1N \sum_{levels} \sum_{n,x} w_{nx} a_{nx} \sum_c b_{nc}
            (s_{ncx} - t_{ncx})^2

    with the teacher's spatial attention a and channel attention b, and with w
    alpha over the number of positions of the smallest object that covers x, or
    beta over the number of background positions.

    Args:
        alpha: Weight of the objects.
        beta: Weight of the background.
        tau: Temperature of the attention.
        loss_weight: Constant factor of the loss.

    Raises:
        UserError: An argument is out of range.

    Paper: https://arxiv.org/abs/2111.11837
    """

    def __init__(
        self,
        alpha: float = 1e-3,
        beta: float = 5e-4,
        tau: float = 0.5,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(loss_weight)
        self.alpha = check_not_negative(self, 'alpha', alpha)
        self.beta = check_not_negative(self, 'beta', beta)
        self.tau = check_positive(self, 'tau', tau)

    def forward(
        self,
        student_feats: Maps,
        teacher_feats: Maps,
        feat_areas: Maps,
        feat_masks: Masks | None = None,
    ) -> Tensor:
        """Return the weighted loss of feature maps (N, C, H, W), a scalar.

        ``feat_areas`` (N, H, W) is the number of positions of the smallest
        object at each position, or 0; masks (N, 1, H, W) mark the positions to
        use.

        Raises:
            UserError: The shapes of the feature maps differ.
        """
        check_same_shapes(self, student_feats, teacher_feats)
        masks = feat_masks or [None] * len(student_feats)
        levels = zip(student_feats, teacher_feats, feat_areas, masks)
        own = self.alpha, self.beta, self.tau
        return self.mean(
            total(fgd_focal_loss(s, t, a, *own, m) for s, t, a, m in levels)
        )


@MODELS.register_module()
class FGDAttentionLoss(DistillLoss):
    r"""L1 distance of spatial and channel attention, summed over levels.

    .. math::
        L = \frac1N \sum_{levels} \sum_n \left(
            \|a(s_n) - a(t_n)\|_1 + \|b(s_n) - b(t_n)\|_1 \right)

    Args:
        tau: Temperature of the attention.
        loss_weight: Constant factor of the loss; gamma in the paper.

    Raises:
        UserError: ``tau`` is not above 0.

    Paper: https://arxiv.org/abs/2111.11837
    """

    def __init__(self, tau: float = 0.5, loss_weight: float = 1e-3) -> None:
        super().__init__(loss_weight)
        self.tau = check_positive(self, 'tau', tau)

    def forward(
        self,
        student_feats: Maps,
        teacher_feats: Maps,
        feat_masks: Masks | None = None,
    ) -> Tensor:
        """Return the weighted loss of feature maps (N, C, H, W), a scalar.

        Masks (N, 1, H, W) mark the positions to use.

        Raises:
            UserError: The shapes of the feature maps differ.
        """
        check_same_shapes(self, student_feats, teacher_feats)
        masks = feat_masks or [None] * len(student_feats)
        levels = zip(student_feats, teacher_feats, masks)
        return self.mean(
            total(fgd_attention_loss(s, t, self.tau, m) for s, t, m in levels)
        )


@MODELS.register_module()
class FGDGlobalLoss(DistillLoss):
    r"""Squared distance of both maps after a global context block each.

    .. math:: L = \frac1N \sum_{levels} \sum_n \|R_s(s_n) - R_t(t_n)\|^2

    with a trained :class:`GlobalContext` per network and level. Checkpoints
    store the blocks under ``distill.``.

    Args:
        loss_weight: Constant factor of the loss; lambda in the paper.

    Paper: https://arxiv.org/abs/2111.11837
    """

    def __init__(self, loss_weight: float = 5e-6) -> None:
        super().__init__(loss_weight)
        self.student_blocks = nn.ModuleList()
        self.teacher_blocks = nn.ModuleList()

    def build_weights(self, channels: Sequence[int]) -> None:
        """Build the blocks; see :meth:`DistillLoss.build_weights`."""
        self.student_blocks.extend(map(GlobalContext, channels))
        self.teacher_blocks.extend(map(GlobalContext, channels))

    def forward(
        self,
        student_feats: Maps,
        teacher_feats: Maps,
        feat_masks: Masks | None = None,
    ) -> Tensor:
        """Return the weighted loss of feature maps (N, C, H, W), a scalar.

        Masks (N, 1, H, W) mark the positions to use.

        Raises:
            UserError: The shapes of the feature maps differ, or the number of
                levels is not that of the blocks.
        """
        check_same_shapes(self, student_feats, teacher_feats)
        if len(self.student_blocks) != len(student_feats):
            raise UserError(
                f'FGDGlobalLoss has blocks for {len(self.student_blocks)} '
                f'levels, but got {len(student_feats)}; use it in a '
                'FeatureDistiller, which builds them, or call '
                'build_weights([channels, …]) once.'
            )
        masks = feat_masks or [None] * len(student_feats)
        ours, theirs = (
            [block(x, m) for block, x, m in zip(blocks, maps, masks)]
            for blocks, maps in (
                (self.student_blocks, student_feats),
                (self.teacher_blocks, [t.detach() for t in teacher_feats]),
            )
        )
        return self.mean(total(map(_squared, ours, theirs, masks)))


@float32_math
def _squared(ours: Tensor, theirs: Tensor, mask: Tensor | None) -> Tensor:
    """Return the sum of the squares inside the mask, (N,)."""
    gap = (ours - theirs).square()
    if mask is not None:
        gap = torch.where(mask, gap, 0.0)
    return gap.sum((1, 2, 3))

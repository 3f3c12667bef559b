"""RKD between the cells of feature maps."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from kd_det.checks import check_count
from kd_det.errors import UserError
from kd_det.functional._common import total
from kd_det.losses.base import DistillLoss
from kd_det.losses.levels import check_levels, same_sizes
from kd_det.losses.rkd import RelationalLoss
from kd_det.registry import MODELS, build_part

Maps = Sequence[Tensor]


@MODELS.register_module()
class MapRelationLoss(DistillLoss):
    r"""RKD between the cells of feature maps, averaged over the levels.

    .. math:: L = \frac{1}{\#levels} \sum_{levels}
        \operatorname{base}(\{s_m\}, \{t_m\})

    At each level, the cells m of all images in the batch of one GPU are
    related, excluding padding; each cell is a vector of the map's channels,
    whose number may differ between networks. If there are more than
    ``max_samples`` cells, a subset spread over images, rows and columns is
    used, the same at each step. If the spatial sizes differ, the larger map is
    average-pooled to the smaller.

    Args:
        base: Config of ``RKDDistanceLoss`` or ``RKDAngleLoss``. Set weight and
            ``max_samples`` here, not in the base.
        max_samples: Maximum number of cells per level, at least 3.
        loss_weight: Constant factor of the loss.

    Raises:
        UserError: The base is another loss or has a weight or ``max_samples``,
            or ``max_samples`` is below 3.

    Paper: https://arxiv.org/abs/1904.05068, without relations between cells.
    """

    entrywise = False

    def __init__(
        self, base: dict, max_samples: int = 128, loss_weight: float = 1.0
    ) -> None:
        super().__init__(loss_weight)
        # resolve types in kd_det's scope
        cfg = {'_scope_': 'kd_det', **base} if isinstance(base, dict) else base
        self.base = build_part('base of MapRelationLoss', cfg, RelationalLoss)
        self.max_samples = check_count(self, 'max_samples', max_samples, 3)
        own, most = self.base.loss_weight, self.base.max_samples
        if own != 1 or most is not None:
            raise UserError(
                f'MapRelationLoss: base has loss_weight={own} and '
                f'max_samples={most}, where only 1 and None are accepted; '
                'set them in MapRelationLoss.'
            )

    def forward(
        self,
        student_feats: Maps,
        teacher_feats: Maps,
        feat_masks: Sequence[Tensor | None] | None = None,
    ) -> Tensor:
        """Return the weighted loss of maps (N, C, H, W) as a scalar.

        Masks (N, 1, H, W) mark the cells inside an image; None means all.

        Raises:
            UserError: The numbers of feature maps differ.
        """
        check_levels(self, student_feats, teacher_feats)
        masks = feat_masks or [None] * len(student_feats)
        levels = zip(student_feats, teacher_feats, masks)
        values = [self._relate(*level) for level in levels]
        return self.weigh(total(values) / len(values))

    def _relate(
        self, ours: Tensor, theirs: Tensor, mask: Tensor | None
    ) -> Tensor:
        sides = same_sizes(ours, theirs)
        rows = [m.permute(0, 2, 3, 1).flatten(0, 2) for m in sides]
        if mask is not None:
            size = tuple(sides[0].shape[2:])
            inside = F.adaptive_max_pool2d(mask.float(), size).flatten() > 0
            kept = inside.nonzero()[:, 0]  # synchronises
            rows = [side[kept] for side in rows]
        count = len(rows[0])
        if count > self.max_samples:
            device = ours.device
            chosen = torch.arange(self.max_samples, device=device)
            chosen = chosen * _stride(count) % count
            rows = [side[chosen] for side in rows]
        return self.base(*rows)


def _stride(count: int) -> int:
    """Return a step size that visits each of ``count`` cells once.

    It is close to the golden section of ``count``, so that any number of steps
    is spread evenly over rows and columns.
    """
    step = round(count * (math.sqrt(5) - 1) / 2)
    while math.gcd(step, count) > 1:
        step += 1
    return step

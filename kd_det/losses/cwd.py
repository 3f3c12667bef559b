"""CWD: where each channel of a feature map is active."""

from collections.abc import Sequence

from torch import Tensor

from kd_det.checks import check_positive
from kd_det.functional import cwd_loss
from kd_det.functional._common import total
from kd_det.losses.base import DistillLoss
from kd_det.losses.levels import check_same_shapes
from kd_det.registry import MODELS


@MODELS.register_module()
class CWDLoss(DistillLoss):
    r"""KL divergence of each channel's spatial distribution, over the levels.

    .. math:: L = \sum_{levels} \frac{\tau^2}{N C} \sum_{n,c}
        \mathrm{KL}(p^t_{nc} \,\|\, p^s_{nc})

    with :math:`p_{nc}` the softmax of channel c of image n over its positions,
    at temperature tau. The maps must have equal shapes; use a connector if
    necessary.

    Args:
        tau: Temperature, above 0.
        loss_weight: Constant factor of the loss.

    Raises:
        UserError: ``tau`` is not above 0.

    Paper: https://arxiv.org/abs/2011.13256
    """

    def __init__(self, tau: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        self.tau = check_positive(self, 'tau', tau)

    def forward(
        self,
        student_feats: Sequence[Tensor],
        teacher_feats: Sequence[Tensor],
        feat_masks: Sequence[Tensor | None] | None = None,
    ) -> Tensor:
        """Return the weighted loss of feature maps (N, C, H, W), a scalar.

        Masks (N, 1, H, W) mark the positions to use; None for a level without
        padding.

        Raises:
            UserError: The shapes of the feature maps differ.
        """
        check_same_shapes(self, student_feats, teacher_feats)
        masks = feat_masks or [None] * len(student_feats)
        levels = zip(student_feats, teacher_feats, masks)
        return self.mean(
            total(cwd_loss(s, t, self.tau, m) for s, t, m in levels)
        )

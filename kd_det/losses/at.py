"""AT: spatial attention of feature maps."""

from collections.abc import Sequence

from torch import Tensor

from kd_det.functional import attention_transfer_loss
from kd_det.functional._common import total
from kd_det.losses.base import DistillLoss
from kd_det.losses.levels import check_levels
from kd_det.registry import MODELS

Maps = Sequence[Tensor]


@MODELS.register_module()
class AttentionTransferLoss(DistillLoss):
    r"""Compare the spatial attention of feature maps, summed over levels.

    .. math::
        L = \sum_{levels} \frac{1}{N H W} \sum_n \|q(s_n) - q(t_n)\|^2,
        \quad q(f) = \frac{a}{\|a\|}, \quad a_{hw} = \frac1C \sum_c f_{chw}^2

    The channels may differ. If the spatial sizes differ, the larger map is
    average-pooled to the smaller.

    Args:
        loss_weight: Constant factor of the loss.

    Paper: https://arxiv.org/abs/1612.03928

    Differs from the paper: uses the squared norm divided by H W, as in the
    authors' code, instead of the norm.
    """

    entrywise = False
    bounded = True  # by 2 / (H W) per level

    def forward(self, student_feats: Maps, teacher_feats: Maps) -> Tensor:
        """Return the weighted loss of feature maps (N, C, H, W), a scalar.

        Raises:
            UserError: The numbers of feature maps differ.
        """
        check_levels(self, student_feats, teacher_feats)
        return self.mean(
            total(
                attention_transfer_loss(student, teacher)
                for student, teacher in zip(student_feats, teacher_feats)
            )
        )

"""MGD: the teacher's feature maps, generated from masked ones."""

from collections.abc import Sequence

from torch import Tensor

from kd_det.functional import mgd_loss
from kd_det.functional._common import total
from kd_det.losses.base import DistillLoss
from kd_det.losses.levels import check_same_shapes
from kd_det.registry import MODELS


@MODELS.register_module()
class MGDLoss(DistillLoss):
    r"""Squared distance of feature maps, summed over entries and levels.

    .. math:: L = \frac1N \sum_{levels} \sum_n \|g_n - t_n\|^2

    with :math:`g` the student's map after a :class:`MGDConnector`, which masks
    it at random and generates the teacher's map from the rest.

    Args:
        loss_weight: Constant factor of the loss; alpha in the paper.

    Paper: https://arxiv.org/abs/2205.01529
    """

    def __init__(self, loss_weight: float = 2e-5) -> None:
        super().__init__(loss_weight)

    def forward(
        self, student_feats: Sequence[Tensor], teacher_feats: Sequence[Tensor]
    ) -> Tensor:
        """Return the weighted loss of feature maps (N, C, H, W), a scalar.

        Raises:
            UserError: The shapes of the feature maps differ.
        """
        check_same_shapes(self, student_feats, teacher_feats)
        return self.mean(total(map(mgd_loss, student_feats, teacher_feats)))

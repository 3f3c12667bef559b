"""LD: distributions of box edges."""

from torch import Tensor

from kd_det.checks import check_positive
from kd_det.functional import ld_loss
from kd_det.losses.base import DistillLoss
from kd_det.registry import MODELS


@MODELS.register_module()
class LDLoss(DistillLoss):
    r"""Localisation distillation on the distributions of box edges.

    .. math:: L = \frac{\tau^2}{4 N} \sum_n \sum_{e=1}^4
        \mathrm{KL}(p^t_{ne}(\tau) \,\|\, p^s_{ne}(\tau))

    over the N foreground locations, for heads such as GFL's that predict a
    distribution for each box edge.

    Args:
        tau: Temperature, above 0.
        loss_weight: Constant factor of the loss.

    Raises:
        UserError: ``tau`` is not above 0.

    Paper: https://arxiv.org/abs/2102.12252

    Differs from the authors' code: all foreground locations have equal weight;
    theirs are weighted by the student's class score, and locations near
    objects (the valuable region) are added.
    """

    def __init__(self, tau: float = 10.0, loss_weight: float = 0.25) -> None:
        super().__init__(loss_weight)
        self.tau = check_positive(self, 'tau', tau)

    def forward(
        self, student_corners: Tensor, teacher_corners: Tensor
    ) -> Tensor:
        """Return the weighted loss of logits (N, 4, B) as a scalar."""
        return self.mean(ld_loss(student_corners, teacher_corners, self.tau))

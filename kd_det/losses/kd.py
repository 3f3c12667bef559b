"""Knowledge distillation between logits."""

from torch import Tensor

from kd_det.functional import kd_loss
from kd_det.losses.base import DistillLoss
from kd_det.registry import MODELS


@MODELS.register_module()
class KDLoss(DistillLoss):
    r"""Mean over samples of the KL divergence between softened logits.

    .. math:: L = \frac{\tau^2}{N} \sum_n
        \mathrm{KL}\left(p^t_n(\tau) \,\|\, p^s_n(\tau)\right)

    Args:
        tau: Temperature, above 0.
        loss_weight: Constant factor of the loss.

    Paper: Hinton et al., Distilling the Knowledge in a Neural Network,
    https://arxiv.org/abs/1503.02531
    """

    def __init__(self, tau: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        self.tau = tau

    def forward(
        self, student_logits: Tensor, teacher_logits: Tensor
    ) -> Tensor:
        """Return the weighted loss of logits (N, K) as a scalar."""
        return self.mean(kd_loss(student_logits, teacher_logits, self.tau))

"""KD of the masks of two-stage detectors."""

from torch import Tensor

from kd_det.checks import check_positive
from kd_det.functional import sigmoid_kd_loss
from kd_det.losses.base import DistillLoss
from kd_det.registry import MODELS


@MODELS.register_module()
class MaskKDLoss(DistillLoss):
    r"""Divergence of the mask of each object, pixel by pixel.

    .. math:: L = \frac{\tau^2}{N H W} \sum_n \sum_{hw}
        \mathrm{KL}(\mathrm{Bern}(p^t_{nhw}) \,\|\,
        \mathrm{Bern}(p^s_{nhw})), \qquad p = \sigma(z / \tau)

    over the N foreground RoIs, with z the mask logits of the RoI's class.

    Args:
        tau: Temperature, above 0.
        loss_weight: Constant factor of the loss.

    Raises:
        UserError: ``tau`` is not above 0.

    Paper: none; KD, https://arxiv.org/abs/1503.02531, for each pixel.
    """

    def __init__(self, tau: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        self.tau = check_positive(self, 'tau', tau)

    def forward(self, student_masks: Tensor, teacher_masks: Tensor) -> Tensor:
        """Return the weighted loss of mask logits (N, H, W) as a scalar."""
        ours, theirs = student_masks.flatten(1), teacher_masks.flatten(1)
        total = sigmoid_kd_loss(ours, theirs, self.tau)
        return self.mean(total / ours.shape[1])

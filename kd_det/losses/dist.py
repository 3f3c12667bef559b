"""DIST: correlation of predictions over classes and over samples."""

from torch import Tensor

from kd_det.checks import check_not_negative, check_positive
from kd_det.functional import dist_loss
from kd_det.losses.base import DistillLoss
from kd_det.registry import MODELS


@MODELS.register_module()
class DISTLoss(DistillLoss):
    r"""One minus the Pearson correlation, over classes and over samples.

    .. math::
        L = \tau^2 \Big[
            \beta \Big(1 - \frac1N \sum_i \rho(p^s_{i:}, p^t_{i:})\Big)
            + \gamma \Big(1 - \frac1K \sum_k \rho(p^s_{:k}, p^t_{:k})\Big)
            \Big]

    The second term compares the samples of a batch, so there is no per-sample
    value, and each process correlates its own samples.

    Args:
        beta: Weight of the correlation over the classes of a sample.
        gamma: Weight of the correlation over the samples of a class.
        tau: Temperature, above 0.
        loss_weight: Constant factor of the loss.

    Raises:
        UserError: An argument is out of range.

    Paper: https://arxiv.org/abs/2205.10536
    """

    least_classes = 2  # the softmax of a single logit is constant

    def __init__(
        self,
        beta: float = 1.0,
        gamma: float = 1.0,
        tau: float = 1.0,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(loss_weight)
        self.beta = check_not_negative(self, 'beta', beta)
        self.gamma = check_not_negative(self, 'gamma', gamma)
        self.tau = check_positive(self, 'tau', tau)

    def forward(
        self, student_logits: Tensor, teacher_logits: Tensor
    ) -> Tensor:
        """Return the weighted loss of logits (N, K) as a scalar."""
        return self.weigh(
            dist_loss(
                student_logits,
                teacher_logits,
                self.beta,
                self.gamma,
                self.tau,
            )
        )

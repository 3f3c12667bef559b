"""DKD: separate terms for the target class and the other classes."""

from torch import Tensor

from kd_det.checks import check_not_negative, check_positive
from kd_det.functional import dkd_loss
from kd_det.losses.logit_loss import LogitLoss
from kd_det.registry import MODELS


@MODELS.register_module()
class DKDLoss(LogitLoss):
    r"""Target-class and non-target-class KL, averaged over samples.

    .. math:: L = \frac{\tau^2}{N} \sum_n
        \alpha \operatorname{KL}\big((p^t_y, 1 - p^t_y) \,\|\,
        (p^s_y, 1 - p^s_y)\big)
        + \beta \operatorname{KL}(q^t \,\|\, q^s)

    with :math:`q` the softmax over the classes other than :math:`y`.

    Args:
        alpha: Weight of the target term.
        beta: Weight of the non-target term.
        tau: Temperature, above 0.
        loss_weight: Constant factor of the loss.

    Raises:
        UserError: An argument is out of range.

    Paper: https://arxiv.org/abs/2203.08679

    Differs from the authors' code: saturated logits give finite values.
    """

    least_classes = 2  # at least one besides the target
    hard_labels = True

    def __init__(
        self,
        alpha: float = 1.0,
        beta: float = 8.0,
        tau: float = 4.0,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(loss_weight)
        self.alpha = check_not_negative(self, 'alpha', alpha)
        self.beta = check_not_negative(self, 'beta', beta)
        self.tau = check_positive(self, 'tau', tau)

    def per_sample(
        self, student_logits: Tensor, teacher_logits: Tensor, labels: Tensor
    ) -> Tensor:
        """Return the unweighted loss (N,) of logits (N, K)."""
        return dkd_loss(
            student_logits,
            teacher_logits,
            self.hard(labels),
            self.alpha,
            self.beta,
            self.tau,
        )

    def forward(
        self, student_logits: Tensor, teacher_logits: Tensor, labels: Tensor
    ) -> Tensor:
        """Return the weighted loss of logits (N, K) as a scalar."""
        return self.mean(
            self.per_sample(student_logits, teacher_logits, labels)
        )

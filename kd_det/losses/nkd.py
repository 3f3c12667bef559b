"""NKD: normalised target and non-target terms."""

from torch import Tensor

from kd_det.checks import (
    check_choice,
    check_not_negative,
    check_positive,
)
from kd_det.functional import nkd_loss
from kd_det.losses.logit_loss import LogitLoss
from kd_det.registry import MODELS


@MODELS.register_module()
class NKDLoss(LogitLoss):
    r"""Soft target term and non-target term, averaged over samples.

    .. math:: L = \frac1N \sum_n -p^t_y \log p^s_y
        - \gamma \tau^2 \sum_{k \ne y} q^t_k \log q^s_k

    The first term has no temperature; :math:`q` is the softmax at
    :math:`\tau` over the classes other than :math:`y`. Equal logits do not
    give 0.

    Args:
        gamma: Weight of the non-target term.
        tau: Temperature of the non-target term, above 0.
        mask_target: Whether the second term excludes the target class;
            ``False`` sums over all classes, as in SDD's code.
        loss_weight: Constant factor of the loss.

    Raises:
        UserError: An argument is out of range.

    Paper: https://arxiv.org/abs/2303.13005

    Differs from the authors' code: in its first release, and in SDD, the mask
    has no effect; ``mask_target=False`` reproduces that.
    """

    least_classes = 2  # at least one besides the target
    hard_labels = True

    def __init__(
        self,
        gamma: float = 1.5,
        tau: float = 1.0,
        mask_target: bool = True,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(loss_weight)
        self.gamma = check_not_negative(self, 'gamma', gamma)
        self.tau = check_positive(self, 'tau', tau)
        self.mask_target = check_choice(
            self, 'mask_target', mask_target, (True, False)
        )

    def per_sample(
        self, student_logits: Tensor, teacher_logits: Tensor, labels: Tensor
    ) -> Tensor:
        """Return the unweighted loss (N,) of logits (N, K)."""
        return nkd_loss(
            student_logits,
            teacher_logits,
            self.hard(labels),
            self.gamma,
            self.tau,
            self.mask_target,
        )

    def forward(
        self, student_logits: Tensor, teacher_logits: Tensor, labels: Tensor
    ) -> Tensor:
        """Return the weighted loss of logits (N, K) as a scalar."""
        return self.mean(
            self.per_sample(student_logits, teacher_logits, labels)
        )

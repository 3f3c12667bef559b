"""KD for the class logits of one-stage detectors."""

import torch
from torch import Tensor

from kd_det.checks import check_not_negative, check_positive
from kd_det.errors import UserError
from kd_det.functional import sigmoid_kd_loss
from kd_det.losses.base import DistillLoss, over_ranks
from kd_det.losses.kd import KDLoss
from kd_det.registry import MODELS


@MODELS.register_module()
class SigmoidKDLoss(KDLoss):
    r"""KD for sigmoid logits, averaged over samples.

    .. math:: L = \frac{\tau^2}{N} \sum_n \sum_k
        \mathrm{KL}(\mathrm{Bern}(p^t_{nk}) \,\|\, \mathrm{Bern}(p^s_{nk}))

    On a dense head the samples are the foreground locations. It can be the
    base of :class:`SDDLoss`.

    Args:
        tau: Temperature, above 0.
        loss_weight: Constant factor of the loss.

    Raises:
        UserError: ``tau`` is not above 0.
    """

    least_classes = 1  # a sigmoid, unlike a softmax, works for one class

    def __init__(self, tau: float = 1.0, loss_weight: float = 1.0) -> None:
        # the level of a sigmoid's logit matters: no standardisation
        super().__init__(tau, loss_weight)

    def per_sample(
        self,
        student_logits: Tensor,
        teacher_logits: Tensor,
        labels: Tensor | None = None,
    ) -> Tensor:
        """Return the unweighted loss (N,); labels are not used."""
        return sigmoid_kd_loss(student_logits, teacher_logits, self.tau)


@MODELS.register_module()
class DenseKDLoss(DistillLoss):
    r"""KD for a dense head's logits at all locations, including background.

    .. math:: L = \frac{\tau^2}{\max(P, 1)} \sum_m \sum_k
        |p^t_{mk} - p^s_{mk}|^\gamma \,
        \mathrm{KL}(\mathrm{Bern}(p^t_{mk}) \,\|\, \mathrm{Bern}(p^s_{mk}))

    over all locations m, with P the number of foreground locations (averaged
    over ranks), the same normaliser as in the heads' own losses. The focal
    factor keeps the many locations on which both networks agree from
    dominating the loss.

    Args:
        tau: Temperature, above 0.
        gamma: Exponent of the focal factor; 0, or at least 1.
        loss_weight: Constant factor of the loss.

    Raises:
        UserError: An argument is out of range.

    Paper: the form follows the quality focal loss,
    https://arxiv.org/abs/2006.04388
    """

    def __init__(
        self, tau: float = 1.0, gamma: float = 1.0, loss_weight: float = 1.0
    ) -> None:
        super().__init__(loss_weight)
        self.tau = check_positive(self, 'tau', tau)
        self.gamma = check_not_negative(self, 'gamma', gamma)
        if 0 < gamma < 1:
            raise UserError(
                f'DenseKDLoss: gamma={gamma!r}; 0 or a number of at least 1 '
                'is accepted.'
            )

    def forward(
        self,
        student_dense_logits: Tensor,
        teacher_dense_logits: Tensor,
        dense_foreground: Tensor,
        dense_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted loss of logits (M, K) as a scalar.

        ``dense_foreground`` (M,) marks the foreground locations,
        ``dense_mask`` (M,) those inside an image, not in the padding.
        """
        loss = sigmoid_kd_loss(
            student_dense_logits, teacher_dense_logits, self.tau, self.gamma
        )
        return self.weigh(per_object(loss, dense_foreground, dense_mask))


def per_object(
    loss: Tensor, foreground: Tensor, mask: Tensor | None
) -> Tensor:
    """Return the sum over locations, divided by the foreground locations.

    Args:
        loss: Loss of each location, (M,).
        foreground: Whether a location is foreground, (M,); their number is
            averaged over ranks.
        mask: Whether a location is used, (M,); default: all.
    """
    if mask is not None:
        loss = torch.where(mask, loss, 0.0)
    count = over_ranks(foreground.sum().to(loss.dtype))
    return loss.sum() / count.clamp(min=1)

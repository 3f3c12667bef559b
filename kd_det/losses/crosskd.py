"""CrossKD: predictions of the teacher's head from the student's features."""

from torch import Tensor

from kd_det.checks import check_not_negative, check_positive
from kd_det.errors import UserError
from kd_det.functional import crosskd_box_loss, crosskd_class_loss, ld_loss
from kd_det.losses.base import DistillLoss
from kd_det.losses.confident import ConfidentLoss, confidence
from kd_det.losses.dense_kd import per_object
from kd_det.registry import MODELS


@MODELS.register_module()
class CrossKDClassLoss(DistillLoss):
    r"""Quality focal loss towards the teacher's class probabilities.

    .. math:: L = \frac{-1}{\max(P, 1)} \sum_m \sum_k |p^t_{mk} - p_{mk}|^\beta
        \left( p^t_{mk} \log p_{mk} + (1 - p^t_{mk}) \log(1 - p_{mk}) \right)

    over all locations m, with p the sigmoids of the teacher's head for the
    student's features and P the number of foreground locations (averaged over
    ranks).

    Args:
        beta: Exponent of the focal factor; 0, or at least 1.
        loss_weight: Constant factor of the loss.

    Raises:
        UserError: ``beta`` is out of range.

    Paper: https://arxiv.org/abs/2306.11369
    """

    def __init__(self, beta: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        self.beta = check_not_negative(self, 'beta', beta)
        if 0 < beta < 1:
            raise UserError(
                f'CrossKDClassLoss: beta={beta!r}; 0 or a number of at least '
                '1 is accepted.'
            )

    def forward(
        self,
        cross_dense_logits: Tensor,
        teacher_dense_logits: Tensor,
        dense_foreground: Tensor,
        dense_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted loss of logits (M, K) as a scalar.

        ``dense_foreground`` (M,) marks the foreground locations,
        ``dense_mask`` (M,) those inside an image, not in the padding.
        """
        loss = crosskd_class_loss(
            cross_dense_logits, teacher_dense_logits, self.beta
        )
        return self.weigh(per_object(loss, dense_foreground, dense_mask))


@MODELS.register_module()
class CrossKDBoxLoss(ConfidentLoss):
    r"""GIoU loss towards the teacher's boxes.

    .. math:: L = \frac{\sum_m w_m (1 - \mathrm{GIoU}(b_m, b^t_m))}
        {\sum_m w_m}, \qquad w_m = \max_k p^t_{mk}

    over all locations m, with b the boxes of the teacher's head for the
    student's features.

    Args:
        loss_weight: Constant factor of the loss.

    Paper: https://arxiv.org/abs/2306.11369
    """

    def forward(
        self,
        cross_dense_boxes: Tensor,
        teacher_dense_boxes: Tensor,
        teacher_dense_logits: Tensor,
        dense_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted loss of boxes (M, 4) as a scalar.

        ``dense_mask`` (M,) marks the locations inside an image.
        """
        per_box = crosskd_box_loss(cross_dense_boxes, teacher_dense_boxes)
        weight = confidence(teacher_dense_logits)
        return self.confident_mean(per_box, weight, dense_mask)


@MODELS.register_module()
class CrossKDEdgeLoss(ConfidentLoss):
    r"""KL divergence of box edge distributions, for heads such as GFL's.

    .. math:: L = \frac{\tau^2}{4 \sum_m w_m} \sum_m w_m \sum_{e=1}^4
        \mathrm{KL}(q^t_{me}(\tau) \,\|\, q_{me}(\tau)),
        \qquad w_m = \max_k p^t_{mk}

    over all locations m, with q the distributions of the teacher's head for
    the student's features.

    Args:
        tau: Temperature, above 0.
        loss_weight: Constant factor of the loss.

    Raises:
        UserError: ``tau`` is not above 0.

    Paper: https://arxiv.org/abs/2306.11369
    """

    def __init__(self, tau: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        self.tau = check_positive(self, 'tau', tau)

    def forward(
        self,
        cross_dense_corners: Tensor,
        teacher_dense_corners: Tensor,
        teacher_dense_logits: Tensor,
        dense_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted loss of logits (M, 4, B) as a scalar.

        ``dense_mask`` (M,) marks the locations inside an image.
        """
        per_box = ld_loss(cross_dense_corners, teacher_dense_corners, self.tau)
        weight = confidence(teacher_dense_logits)
        return self.confident_mean(per_box, weight, dense_mask)

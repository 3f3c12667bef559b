"""KD on the queries of detectors such as DETR."""

from torch import Tensor

from kd_det.checks import check_not_negative, check_positive
from kd_det.functional import query_box_loss, sigmoid_kd_loss
from kd_det.losses.confident import ConfidentLoss
from kd_det.registry import MODELS


@MODELS.register_module()
class QueryKDLoss(ConfidentLoss):
    r"""KD of the class scores of matched queries.

    .. math:: L = \frac{\tau^2}{\sum_m w_m} \sum_m w_m \sum_k
        \mathrm{KL}(\mathrm{Bern}(p^t_{mk}) \,\|\, \mathrm{Bern}(p^s_{mk}))

    over all matched queries m of all images and decoder layers, with
    :math:`p = \sigma(z / \tau)`, z the logits of the class scores and w the
    ``query_weights`` of :class:`QueryDistiller`. For heads with a softmax, z
    are the logits of its probabilities, each class against all others and the
    background.

    Args:
        tau: Temperature, above 0.
        loss_weight: Constant factor of the loss.

    Raises:
        UserError: ``tau`` is not above 0.

    Paper: https://arxiv.org/abs/2211.08071
    """

    def __init__(self, tau: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        self.tau = check_positive(self, 'tau', tau)

    def forward(
        self,
        student_query_logits: Tensor,
        teacher_query_logits: Tensor,
        query_weights: Tensor,
    ) -> Tensor:
        """Return the loss of logits (M, K) with weights (M,) as a scalar."""
        per_query = sigmoid_kd_loss(
            student_query_logits, teacher_query_logits, self.tau
        )
        return self.confident_mean(per_query, query_weights)


@MODELS.register_module()
class QueryBoxLoss(ConfidentLoss):
    r"""L1 and GIoU loss towards the boxes of the teacher's queries.

    .. math:: L = \frac{1}{\sum_m w_m} \sum_m w_m \left(
        \lambda_1 \| b^s_m - b^t_m \|_1
        + \lambda_g (1 - \mathrm{GIoU}(b^s_m, b^t_m)) \right)

    over all matched queries m of all images and decoder layers, with w the
    ``query_weights`` of :class:`QueryDistiller`. Boxes are centre, width and
    height, relative to the image.

    Args:
        l1_weight: :math:`\lambda_1`, 0 or above.
        giou_weight: :math:`\lambda_g`, 0 or above.
        loss_weight: Constant factor of the loss.

    Raises:
        UserError: A weight is below 0.

    Paper: https://arxiv.org/abs/2211.08071
    """

    def __init__(
        self,
        l1_weight: float = 5.0,
        giou_weight: float = 2.0,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(loss_weight)
        self.l1_weight = check_not_negative(self, 'l1_weight', l1_weight)
        self.giou_weight = check_not_negative(self, 'giou_weight', giou_weight)

    def forward(
        self,
        student_query_boxes: Tensor,
        teacher_query_boxes: Tensor,
        query_weights: Tensor,
    ) -> Tensor:
        """Return the loss of boxes (M, 4) with weights (M,) as a scalar."""
        per_query = query_box_loss(
            student_query_boxes,
            teacher_query_boxes,
            self.l1_weight,
            self.giou_weight,
        )
        return self.confident_mean(per_query, query_weights)

"""BCKD: each class of a dense head as a binary classification."""

from torch import Tensor

from kd_det.functional import crosskd_box_loss, crosskd_class_loss
from kd_det.losses.base import DistillLoss
from kd_det.losses.dense_kd import per_object
from kd_det.registry import MODELS


@MODELS.register_module()
class BCKDClassLoss(DistillLoss):
    r"""Binary cross-entropy of each class, weighted by the difference.

    .. math:: L = \frac{-1}{\max(P, 1)} \sum_m \sum_k |p^t_{mk} - p^s_{mk}|
        \left( p^t_{mk} \log p^s_{mk} + (1 - p^t_{mk}) \log(1 - p^s_{mk})
        \right)

    over all locations m, with p the class probabilities (sigmoids) and P the
    number of foreground locations (averaged over ranks).

    Args:
        loss_weight: Constant factor of the loss.

    Paper: https://arxiv.org/abs/2308.14286
    """

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
        # the quality focal loss of CrossKD, on the student's own output
        loss = crosskd_class_loss(student_dense_logits, teacher_dense_logits)
        return self.weigh(per_object(loss, dense_foreground, dense_mask))


@MODELS.register_module()
class BCKDBoxLoss(DistillLoss):
    r"""GIoU loss towards the teacher's boxes, where the classes differ.

    .. math:: L = \frac{1}{\max(P, 1)} \sum_m w_m
        (1 - \mathrm{GIoU}(b^s_m, b^t_m)),
        \qquad w_m = \max_k |p^t_{mk} - p^s_{mk}|

    over all locations m, with the boxes b of both heads. The weights have no
    gradient.

    Args:
        loss_weight: Constant factor of the loss.

    Paper: https://arxiv.org/abs/2308.14286
    """

    def forward(
        self,
        student_dense_boxes: Tensor,
        teacher_dense_boxes: Tensor,
        student_dense_logits: Tensor,
        teacher_dense_logits: Tensor,
        dense_foreground: Tensor,
        dense_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted loss of boxes (M, 4) as a scalar.

        The logits (M, K) give the weights, ``dense_foreground`` (M,) the
        number of foreground locations; ``dense_mask`` (M,) marks the
        locations inside an image.
        """
        loss = crosskd_box_loss(student_dense_boxes, teacher_dense_boxes)
        ours, theirs = (
            logits.detach().to(loss.dtype).sigmoid()
            for logits in (student_dense_logits, teacher_dense_logits)
        )
        weight = (theirs - ours).abs().amax(1)
        return self.weigh(
            per_object(loss * weight, dense_foreground, dense_mask)
        )

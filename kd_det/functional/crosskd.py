"""CrossKD: predictions of the teacher's head from the student's features."""

from torch import Tensor
from torch.nn import functional as F

from kd_det.functional._boxes import giou
from kd_det.functional._common import (
    check_finite,
    check_shapes,
    float32_math,
)


@float32_math
def crosskd_class_loss(
    cross_logits: Tensor, teacher_logits: Tensor, beta: float = 1.0
) -> Tensor:
    r"""Quality focal loss with the teacher's probabilities as the target.

    .. math::
        \ell_i = -\sum_k |p^t_{ik} - p_{ik}|^\beta \left( p^t_{ik}
            \log p_{ik} + (1 - p^t_{ik}) \log (1 - p_{ik}) \right),
        \qquad p = \sigma(z)

    Its minimum, with equal logits, is 0 for ``beta`` above 0.

    Args:
        cross_logits: Logits of the teacher's head for the student's features,
            (N, K).
        teacher_logits: Shape (N, K); detached.
        beta: Focusing exponent; 0, or at least 1.

    Returns:
        Shape (N,).

    Raises:
        ValueError: If the shapes differ, or ``beta`` is neither 0 nor at least
            1.

    Paper: https://arxiv.org/abs/2306.11369
    """
    check_shapes(
        cross_logits=(cross_logits, 'N K'),
        teacher_logits=(teacher_logits, 'N K'),
    )
    check_finite(beta=beta)
    if not (beta == 0 or beta >= 1):
        raise ValueError(
            f'beta must be 0 or at least 1, got {beta!r}, whose gradient is '
            'infinite where student and teacher agree.'
        )
    target = teacher_logits.detach().sigmoid()
    loss = F.binary_cross_entropy_with_logits(
        cross_logits, target, reduction='none'
    )
    if beta:
        loss = loss * (target - cross_logits.sigmoid()).abs() ** beta
    return loss.sum(1)


@float32_math
def crosskd_box_loss(cross_boxes: Tensor, teacher_boxes: Tensor) -> Tensor:
    r"""One minus the generalised IoU of two boxes.

    .. math::
        \ell_i = 1 - \frac{|s \cap t|}{|s \cup t|}
            + \frac{|c| - |s \cup t|}{|c|}

    with c the smallest box around both. A box whose right edge is left of its
    left one, or top below bottom, is empty.

    Args:
        cross_boxes: Boxes x1, y1, x2, y2 of the teacher's head for the
            student's features, (N, 4).
        teacher_boxes: Shape (N, 4); detached.

    Returns:
        Shape (N,), values in [0, 2].

    Raises:
        ValueError: If the shapes differ or are not (N, 4).

    Paper: https://arxiv.org/abs/2306.11369; GIoU is that of
    https://arxiv.org/abs/1902.09630
    """
    check_shapes(
        cross_boxes=(cross_boxes, 'N E'), teacher_boxes=(teacher_boxes, 'N E')
    )
    if cross_boxes.shape[1] != 4:
        raise ValueError(
            'cross_boxes must have four edges (N, 4), got shape '
            f'{tuple(cross_boxes.shape)}.'
        )
    return 1 - giou(cross_boxes, teacher_boxes.detach())

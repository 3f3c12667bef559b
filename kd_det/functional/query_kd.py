"""KD on the predictions of queries, for detectors such as DETR."""

import torch
from torch import Tensor
from torch.nn import functional as F

from kd_det.functional._boxes import giou
from kd_det.functional._common import (
    check_finite,
    check_shapes,
    float32_math,
)


@float32_math
def query_costs(
    student_logits: Tensor,
    student_boxes: Tensor,
    teacher_logits: Tensor,
    teacher_boxes: Tensor,
    class_weight: float = 1.0,
    l1_weight: float = 5.0,
    giou_weight: float = 2.0,
) -> Tensor:
    r"""Cost of assigning each of the student's queries to each teacher's.

    .. math::
        C_{ij} = \lambda_c \sum_k \mathrm{KL} \bigl(
            \mathrm{Bern}(p^t_{jk}) \,\|\, \mathrm{Bern}(p^s_{ik}) \bigr)
            + \lambda_1 \| b^s_i - b^t_j \|_1
            + \lambda_g (1 - \mathrm{GIoU}(b^s_i, b^t_j))

    Args:
        student_logits: Logits of the class scores, :math:`p = \sigma(z)`,
            shape (P, K).
        student_boxes: Centre, width and height, relative to the image,
            shape (P, 4).
        teacher_logits: Shape (Q, K); detached.
        teacher_boxes: Shape (Q, 4); detached.
        class_weight: :math:`\lambda_c`.
        l1_weight: :math:`\lambda_1`.
        giou_weight: :math:`\lambda_g`.

    Returns:
        Shape (P, Q).

    Raises:
        ValueError: If shapes do not fit together, or a weight is not finite.

    Paper: https://arxiv.org/abs/2211.10156
    """
    check_shapes(
        student_logits=(student_logits, 'P K'),
        student_boxes=(student_boxes, 'P E'),
        teacher_logits=(teacher_logits, 'Q K'),
        teacher_boxes=(teacher_boxes, 'Q E'),
    )
    _check_edges(student_boxes)
    check_finite(
        class_weight=class_weight, l1_weight=l1_weight, giou_weight=giou_weight
    )
    logits, theirs = teacher_logits.detach(), teacher_boxes.detach()[None]
    yes, no = F.logsigmoid(logits), F.logsigmoid(-logits)
    p, rest = yes.exp(), no.exp()
    own = (p * yes + rest * no).sum(1)
    shared = F.logsigmoid(student_logits) @ p.T
    shared = shared + F.logsigmoid(-student_logits) @ rest.T
    ours = student_boxes[:, None]
    distance = (ours - theirs).abs().sum(2)
    overlap = giou(_corners(ours), _corners(theirs))
    costs = class_weight * (own - shared) + l1_weight * distance
    return costs + giou_weight * (1 - overlap)


@float32_math
def query_box_loss(
    student_boxes: Tensor,
    teacher_boxes: Tensor,
    l1_weight: float = 5.0,
    giou_weight: float = 2.0,
) -> Tensor:
    r"""L1 distance and generalised IoU of the boxes of matched queries.

    .. math::
        \ell_i = \lambda_1 \| b^s_i - b^t_i \|_1
            + \lambda_g (1 - \mathrm{GIoU}(b^s_i, b^t_i))

    Args:
        student_boxes: Centre, width and height, relative to the image,
            shape (N, 4).
        teacher_boxes: Shape (N, 4); detached.
        l1_weight: :math:`\lambda_1`.
        giou_weight: :math:`\lambda_g`.

    Returns:
        Shape (N,).

    Raises:
        ValueError: If the shapes differ or are not (N, 4), or a weight is not
            finite.

    Paper: https://arxiv.org/abs/2211.08071
    """
    check_shapes(
        student_boxes=(student_boxes, 'N E'),
        teacher_boxes=(teacher_boxes, 'N E'),
    )
    _check_edges(student_boxes)
    check_finite(l1_weight=l1_weight, giou_weight=giou_weight)
    theirs = teacher_boxes.detach()
    distance = (student_boxes - theirs).abs().sum(1)
    overlap = giou(_corners(student_boxes), _corners(theirs))
    return l1_weight * distance + giou_weight * (1 - overlap)


def _check_edges(boxes: Tensor) -> None:
    if boxes.shape[1] != 4:
        raise ValueError(
            'student_boxes must have four numbers (N, 4), got shape '
            f'{tuple(boxes.shape)}.'
        )


def _corners(boxes: Tensor) -> Tensor:
    """Convert centre, width and height to x1, y1, x2, y2."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], -1)

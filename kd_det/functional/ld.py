"""LD: distributions of box edges."""

from torch import Tensor

from kd_det.functional._common import (
    check_shapes,
    float32_math,
)
from kd_det.functional.kd import kd_loss


@float32_math
def ld_loss(
    student_corners: Tensor, teacher_corners: Tensor, tau: float = 10.0
) -> Tensor:
    r"""Localisation distillation: KL divergence of box edge distributions.

    .. math::
        \ell_i = \frac{\tau^2}{4} \sum_{e=1}^4
            \mathrm{KL}(p^t_{ie}(\tau) \,\|\, p^s_{ie}(\tau))

    Args:
        student_corners: Logits of the distance of each edge, (N, 4, B).
        teacher_corners: Shape (N, 4, B); detached.
        tau: Temperature.

    Returns:
        Shape (N,).

    Raises:
        ValueError: If the shapes differ, there are not four edges, or
            ``tau`` is not above 0.

    Paper: https://arxiv.org/abs/2102.12252
    """
    check_shapes(
        student_corners=(student_corners, 'N E B'),
        teacher_corners=(teacher_corners, 'N E B'),
    )
    if student_corners.shape[1] != 4:
        raise ValueError(
            'student_corners must have four edges (N, 4, B), got shape '
            f'{tuple(student_corners.shape)}.'
        )
    student, teacher = student_corners, teacher_corners
    per_edge = kd_loss(student.flatten(0, 1), teacher.flatten(0, 1), tau)
    return per_edge.unflatten(0, (-1, 4)).mean(1)

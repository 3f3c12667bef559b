"""Losses on what a one-stage detector predicts at a location."""

from torch import Tensor
from torch.nn import functional as F

from kd_det.functional._common import (
    check_finite,
    check_positive,
    check_shapes,
    float32_math,
)
from kd_det.functional.logits import kd_loss


@float32_math
def sigmoid_kd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    tau: float = 1.0,
    gamma: float = 0.0,
) -> Tensor:
    r"""KL divergence of each class's own yes or no, summed over classes.

    .. math::
        \ell_i = \tau^2 \sum_k |p^t_{ik} - p^s_{ik}|^\gamma \left(
            p^t_{ik} \log \frac{p^t_{ik}}{p^s_{ik}} + (1 - p^t_{ik})
            \log \frac{1 - p^t_{ik}}{1 - p^s_{ik}} \right),
        \qquad p = \sigma(z / \tau)

    Args:
        student_logits: Shape (N, K).
        teacher_logits: Shape (N, K); detached.
        tau: Temperature.
        gamma: Above 0 the classes on which both agree weigh less, as in the
            quality focal loss; 0, or 1 and above.

    Returns:
        Shape (N,).

    Raises:
        ValueError: If the shapes differ, ``tau`` is not above 0, or
            ``gamma`` is neither 0 nor 1 or above.

    Paper: the modulating factor is that of https://arxiv.org/abs/2006.04388
    """
    check_shapes(
        student_logits=(student_logits, 'N K'),
        teacher_logits=(teacher_logits, 'N K'),
    )
    check_positive('tau', tau)
    check_finite(gamma=gamma)
    if not (gamma == 0 or gamma >= 1):
        raise ValueError(
            f'gamma={gamma!r} has no finite gradient where both agree; 0, or '
            'a number from 1 on is accepted.'
        )
    s, t = student_logits / tau, teacher_logits.detach() / tau
    yes, no = F.logsigmoid(t), F.logsigmoid(-t)
    kl = yes.exp() * (yes - F.logsigmoid(s))
    kl = kl + no.exp() * (no - F.logsigmoid(-s))
    if gamma:
        kl = kl * (yes.exp() - s.sigmoid()).abs() ** gamma
    return kl.sum(1) * tau**2


@float32_math
def ld_loss(
    student_corners: Tensor, teacher_corners: Tensor, tau: float = 10.0
) -> Tensor:
    r"""Localisation distillation: KL of the distributions of box edges.

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
    flat = [x.flatten(0, 1) for x in (student_corners, teacher_corners)]
    return kd_loss(*flat, tau).unflatten(0, (-1, 4)).mean(1)

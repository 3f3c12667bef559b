"""KD for sigmoid logits."""

from torch import Tensor
from torch.nn import functional as F

from kd_det.functional._common import (
    check_finite,
    check_positive,
    check_shapes,
    float32_math,
)


@float32_math
def sigmoid_kd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    tau: float = 1.0,
    gamma: float = 0.0,
) -> Tensor:
    r"""Binary KL divergence of each class, summed over classes.

    .. math::
        \ell_i = \tau^2 \sum_k |p^t_{ik} - p^s_{ik}|^\gamma \left(
            p^t_{ik} \log \frac{p^t_{ik}}{p^s_{ik}} + (1 - p^t_{ik})
            \log \frac{1 - p^t_{ik}}{1 - p^s_{ik}} \right),
        \qquad p = \sigma(z / \tau)

    Args:
        student_logits: Shape (N, K).
        teacher_logits: Shape (N, K); detached.
        tau: Temperature.
        gamma: Focusing exponent that down-weights classes on which both agree,
            as in the quality focal loss; 0, or at least 1.

    Returns:
        Shape (N,).

    Raises:
        ValueError: If the shapes differ, ``tau`` is not above 0, or ``gamma``
            is neither 0 nor at least 1.

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
            f'gamma must be 0 or at least 1, got {gamma!r}, whose gradient '
            'is infinite where student and teacher agree.'
        )
    s, t = student_logits / tau, teacher_logits.detach() / tau
    yes, no = F.logsigmoid(t), F.logsigmoid(-t)
    kl = yes.exp() * (yes - F.logsigmoid(s))
    kl = kl + no.exp() * (no - F.logsigmoid(-s))
    if gamma:
        kl = kl * (yes.exp() - s.sigmoid()).abs() ** gamma
    return kl.sum(1) * tau**2

"""KD: KL divergence of softened predictions."""

import math

from torch import Tensor
from torch.nn import functional as F

from kd_det.functional._common import (
    check_logits,
    float32_math,
    safe_normalize,
)


@float32_math
def kd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    tau: float = 1.0,
    standardize: bool = False,
) -> Tensor:
    r"""Hinton's KD: KL divergence of softened predictions.

    .. math::
        \ell_i = \tau^2 \sum_k p^t_{ik} \log \frac{p^t_{ik}}{p^s_{ik}},
        \qquad p = \operatorname{softmax}(z / \tau)

    Args:
        student_logits: Shape (N, K).
        teacher_logits: Shape (N, K); detached.
        tau: Temperature.
        standardize: Whether to give the logits of each sample and network the
            mean 0 and the standard deviation (divisor K) 1 first, so that the
            student need not match the teacher's range. Equal logits become 0
            and get no gradient.

    Returns:
        Shape (N,).

    Raises:
        ValueError: If the shapes differ or ``tau`` is not above 0.

    Paper: https://arxiv.org/abs/1503.02531; the standardisation:
    https://arxiv.org/abs/2403.01993
    """
    check_logits(student_logits, teacher_logits, tau)
    student, teacher = student_logits, teacher_logits.detach()
    if standardize:
        student, teacher = map(_standardized, (student, teacher))
    log_s = F.log_softmax(student / tau, dim=1)
    log_t = F.log_softmax(teacher / tau, dim=1)
    return kl(log_s, log_t) * tau**2


def _standardized(logits: Tensor) -> Tensor:
    centred = logits - logits.mean(1, keepdim=True)
    return safe_normalize(centred) * math.sqrt(logits.shape[1])


def kl(log_s: Tensor, log_t: Tensor) -> Tensor:
    """Return the KL divergence (N,) of log-probabilities (N, K)."""
    return (log_t.exp() * (log_t - log_s)).sum(1)

"""DKD: separate terms for the target class and the other classes."""

import torch
from torch import Tensor
from torch.nn import functional as F

from kd_det.functional._common import (
    check_finite,
    check_labelled_logits,
    float32_math,
)
from kd_det.functional.kd import kl


@float32_math
def dkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    alpha: float = 1.0,
    beta: float = 8.0,
    tau: float = 4.0,
) -> Tensor:
    r"""Decoupled distillation: target-class and non-target-class KL.

    .. math::
        \ell_i = \tau^2 \left[
            \alpha \operatorname{KL}\big((p^t_y, 1 - p^t_y) \,\|\,
                (p^s_y, 1 - p^s_y)\big)
            + \beta \operatorname{KL}(q^t \| q^s) \right]

    with :math:`q` the softmax over the classes other than :math:`y`.

    Args:
        student_logits: Shape (N, K), K >= 2.
        teacher_logits: Shape (N, K); detached.
        labels: Shape (N,), integers in [0, K).
        alpha: Weight of the target term.
        beta: Weight of the non-target term, which is 0 when K = 2.
        tau: Temperature.

    Returns:
        Shape (N,).

    Raises:
        ValueError: If shapes differ, a label is outside [0, K), K < 2 or
            ``tau`` is not above 0.

    Paper: https://arxiv.org/abs/2203.08679

    Differs from the authors' code: computed in log space, so saturated logits
    give finite values instead of inf or NaN.
    """
    labels = check_labelled_logits(student_logits, teacher_logits, labels, tau)
    check_finite(alpha=alpha, beta=beta)
    check_non_target(student_logits)
    target_s, rest_s, log_q_s = decouple(student_logits / tau, labels)
    target_t, rest_t, log_q_t = decouple(teacher_logits.detach() / tau, labels)
    tckd = target_t.exp() * (target_t - target_s)
    tckd = tckd + rest_t.exp() * (rest_t - rest_s)
    nckd = kl(log_q_s, log_q_t)
    return (alpha * tckd + beta * nckd) * tau**2


def check_non_target(logits: Tensor) -> None:
    """Raise a ValueError unless there is a class besides the target."""
    if logits.shape[1] < 2:
        raise ValueError(
            'student_logits must have K >= 2 classes, got shape '
            f'{tuple(logits.shape)}; use a loss without a non-target term.'
        )


def decouple(z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return log p_y (N,), log(1 - p_y) (N,) and log q (N, K), 0 at y."""
    index = labels[:, None]
    target = torch.zeros_like(z, dtype=torch.bool).scatter(1, index, True)
    log_p = F.log_softmax(z, dim=1)
    log_rest = log_p.masked_fill(target, -torch.inf).logsumexp(1)
    # From z, not from log_p: a huge target logit would round the others away.
    log_q = F.log_softmax(z.masked_fill(target, -torch.inf), dim=1)
    # Not -inf at y: 0 * -inf is NaN. A 0 there adds 1 * (0 - 0) to a KL.
    return log_p.gather(1, index)[:, 0], log_rest, log_q.masked_fill(target, 0)

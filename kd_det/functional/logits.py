"""Losses between the class logits of a student and of its teacher."""

import torch
from torch import Tensor
from torch.nn import functional as F

from kd_det.functional._common import (
    check_choice,
    check_finite,
    check_labels,
    check_positive,
    check_shapes,
    float32_math,
    safe_norm,
)

# Added to the product of two norms in the Pearson correlation.
PEARSON_EPS = 1e-8
# Deviations this small beside the vector itself are rounding: no correlation.
CONSTANT = 1e-6


@float32_math
def kd_loss(
    student_logits: Tensor, teacher_logits: Tensor, tau: float = 1.0
) -> Tensor:
    r"""Hinton's distillation: the KL divergence of softened predictions.

    .. math::
        \ell_i = \tau^2 \sum_k p^t_{ik} \log \frac{p^t_{ik}}{p^s_{ik}},
        \qquad p = \operatorname{softmax}(z / \tau)

    Args:
        student_logits: Shape (N, K).
        teacher_logits: Shape (N, K); detached.
        tau: Temperature.

    Returns:
        Shape (N,).

    Raises:
        ValueError: If the shapes differ or ``tau`` is not above 0.

    Paper: https://arxiv.org/abs/1503.02531
    """
    _check_logits(student_logits, teacher_logits, tau)
    log_s = F.log_softmax(student_logits / tau, dim=1)
    log_t = F.log_softmax(teacher_logits.detach() / tau, dim=1)
    return _kl(log_s, log_t) * tau**2


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

    Differs from the authors' code: everything stays in log space, so that
    saturated logits give the finite value, where the code gives inf or NaN.
    """
    labels = _check_labelled(student_logits, teacher_logits, labels, tau)
    check_finite(alpha=alpha, beta=beta)
    _check_non_target(student_logits)
    target_s, rest_s, log_q_s = _decouple(student_logits / tau, labels)
    target_t, rest_t, log_q_t = _decouple(
        teacher_logits.detach() / tau, labels
    )
    tckd = target_t.exp() * (target_t - target_s)
    tckd = tckd + rest_t.exp() * (rest_t - rest_s)
    nckd = _kl(log_q_s, log_q_t)
    return (alpha * tckd + beta * nckd) * tau**2


@float32_math
def nkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    gamma: float = 1.5,
    tau: float = 1.0,
    mask_target: bool = True,
) -> Tensor:
    r"""Normalised distillation: soft target term and non-target term.

    .. math::
        \ell_i = -p^t_y \log p^s_y
            - \gamma \tau^2 \sum_{k \ne y} q^t_k \log q^s_k

    The first term has no temperature; :math:`q` is the softmax at
    :math:`\tau` over the classes other than :math:`y`. Both are
    cross-entropies: equal logits do not give 0.

    Args:
        student_logits: Shape (N, K), K >= 2.
        teacher_logits: Shape (N, K); detached.
        labels: Shape (N,), integers in [0, K).
        gamma: Weight of the non-target term.
        tau: Temperature of the non-target term.
        mask_target: Whether the second term leaves the target class out;
            False sums it over all K classes, as the code of SDD does.

    Returns:
        Shape (N,).

    Raises:
        ValueError: If shapes differ, a label is outside [0, K), K < 2 with
            ``mask_target``, or ``tau`` is not above 0.

    Paper: https://arxiv.org/abs/2303.13005

    Differs from the authors' code: as first published, and in SDD, the mask
    removes nothing; ``mask_target=False`` reproduces that.
    """
    labels = _check_labelled(student_logits, teacher_logits, labels, tau)
    check_finite(gamma=gamma)
    check_choice('mask_target', mask_target, (True, False))
    teacher_logits = teacher_logits.detach()
    index = labels[:, None]
    p_t = F.softmax(teacher_logits, dim=1).gather(1, index)[:, 0]
    log_p_s = F.log_softmax(student_logits, dim=1).gather(1, index)[:, 0]
    z_s, z_t = student_logits / tau, teacher_logits / tau
    if mask_target:
        _check_non_target(student_logits)
        _, _, log_q_s = _decouple(z_s, labels)
        _, _, log_q_t = _decouple(z_t, labels)
    else:
        log_q_s = F.log_softmax(z_s, dim=1)
        log_q_t = F.log_softmax(z_t, dim=1)
    non_target = (log_q_t.exp() * log_q_s).sum(1)
    return -p_t * log_p_s - gamma * tau**2 * non_target


@float32_math
def dist_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    beta: float = 1.0,
    gamma: float = 1.0,
    tau: float = 1.0,
) -> Tensor:
    r"""DIST: Pearson correlation within samples and within classes.

    .. math::
        L = \tau^2 \Big[
            \beta \Big(1 - \frac1N \sum_i \rho(p^s_{i:}, p^t_{i:})\Big)
            + \gamma \Big(1 - \frac1K \sum_k \rho(p^s_{:k}, p^t_{:k})\Big)
            \Big],
        \qquad p = \operatorname{softmax}(z / \tau)

    A row or column without variation has :math:`\rho = 0` and gives no
    gradient; one sample therefore makes the second term
    :math:`\gamma \tau^2`.

    Args:
        student_logits: Shape (N, K).
        teacher_logits: Shape (N, K); detached.
        beta: Weight of the correlation over the classes of a sample.
        gamma: Weight of the correlation over the samples of a class.
        tau: Temperature.

    Returns:
        A scalar; 0 for an empty batch.

    Raises:
        ValueError: If the shapes differ or ``tau`` is not above 0.

    Paper: https://arxiv.org/abs/2205.10536
    """
    _check_logits(student_logits, teacher_logits, tau)
    check_finite(beta=beta, gamma=gamma)
    if student_logits.shape[0] == 0:
        return student_logits.sum() * 0
    p_s = F.softmax(student_logits / tau, dim=1)
    p_t = F.softmax(teacher_logits.detach() / tau, dim=1)
    inter = 1 - _pearson(p_s, p_t, dim=1).mean()
    intra = 1 - _pearson(p_s, p_t, dim=0).mean()
    return (beta * inter + gamma * intra) * tau**2


def _check_logits(student: Tensor, teacher: Tensor, tau: float) -> None:
    check_shapes(
        student_logits=(student, 'N K'), teacher_logits=(teacher, 'N K')
    )
    check_positive('tau', tau)


def _check_labelled(
    student: Tensor, teacher: Tensor, labels: Tensor, tau: float
) -> Tensor:
    _check_logits(student, teacher, tau)
    check_shapes(student_logits=(student, 'N K'), labels=(labels, 'N'))
    return check_labels(labels, student.shape[1])


def _check_non_target(logits: Tensor) -> None:
    if logits.shape[1] < 2:
        raise ValueError(
            f'student_logits of shape {tuple(logits.shape)} has no class '
            'besides the target, and this loss needs K >= 2; use a loss '
            'without a non-target term.'
        )


def _decouple(z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return log p_y (N,), log(1 - p_y) (N,) and log q (N, K), 0 at y."""
    index = labels[:, None]
    target = torch.zeros_like(z, dtype=torch.bool).scatter(1, index, True)
    log_p = F.log_softmax(z, dim=1)
    log_rest = log_p.masked_fill(target, -torch.inf).logsumexp(1)
    # From z, not from log_p: a huge target logit rounds the others away.
    log_q = F.log_softmax(z.masked_fill(target, -torch.inf), dim=1)
    # Not -inf at y: 0 * -inf is NaN. A 0 there adds 1 * (0 - 0) to a KL.
    return log_p.gather(1, index)[:, 0], log_rest, log_q.masked_fill(target, 0)


def _kl(log_s: Tensor, log_t: Tensor) -> Tensor:
    return (log_t.exp() * (log_t - log_s)).sum(1)


def _pearson(p_s: Tensor, p_t: Tensor, dim: int) -> Tensor:
    a = p_s - p_s.mean(dim, keepdim=True)
    b = p_t - p_t.mean(dim, keepdim=True)
    norm_a, norm_b = safe_norm(a, dim), safe_norm(b, dim)
    # A uniform student (a classifier that starts at zero) leaves rounding
    # in `a`; divided by its own norm it would be an arbitrary, huge gradient.
    flat_a = norm_a <= CONSTANT * safe_norm(p_s, dim)
    flat_b = norm_b <= CONSTANT * safe_norm(p_t, dim)
    cosine = (a * b).sum(dim) / (norm_a * norm_b + PEARSON_EPS)
    return cosine.masked_fill(flat_a | flat_b, 0)

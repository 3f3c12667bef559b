"""DIST: correlation between classes and between samples."""

from torch import Tensor
from torch.nn import functional as F

from kd_det.functional._common import (
    check_finite,
    check_logits,
    float32_math,
    safe_norm,
)

# Added to the product of two norms in the Pearson correlation.
PEARSON_EPS = 1e-8
# Relative deviations below this are rounding errors and count as constant.
CONSTANT = 1e-6


@float32_math
def dist_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    beta: float = 1.0,
    gamma: float = 1.0,
    tau: float = 1.0,
) -> Tensor:
    r"""DIST: Pearson correlation over classes and over samples.

    .. math::
        L = \tau^2 \Big[
            \beta \Big(1 - \frac1N \sum_i \rho(p^s_{i:}, p^t_{i:})\Big)
            + \gamma \Big(1 - \frac1K \sum_k \rho(p^s_{:k}, p^t_{:k})\Big)
            \Big],
        \qquad p = \operatorname{softmax}(z / \tau)

    A constant row or column has :math:`\rho = 0` and no gradient; with a
    single sample the second term is therefore :math:`\gamma \tau^2`.

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
    check_logits(student_logits, teacher_logits, tau)
    check_finite(beta=beta, gamma=gamma)
    if student_logits.shape[0] == 0:
        return student_logits.sum() * 0
    p_s = F.softmax(student_logits / tau, dim=1)
    p_t = F.softmax(teacher_logits.detach() / tau, dim=1)
    inter = 1 - _pearson(p_s, p_t, dim=1).mean()
    intra = 1 - _pearson(p_s, p_t, dim=0).mean()
    return (beta * inter + gamma * intra) * tau**2


def _pearson(p_s: Tensor, p_t: Tensor, dim: int) -> Tensor:
    a = p_s - p_s.mean(dim, keepdim=True)
    b = p_t - p_t.mean(dim, keepdim=True)
    norm_a, norm_b = safe_norm(a, dim), safe_norm(b, dim)
    # For a uniform student (a zero-initialised classifier) `a` is rounding
    # error; dividing by its norm would give an arbitrary, huge gradient.
    flat_a = norm_a <= CONSTANT * safe_norm(p_s, dim)
    flat_b = norm_b <= CONSTANT * safe_norm(p_t, dim)
    cosine = (a * b).sum(dim) / (norm_a * norm_b + PEARSON_EPS)
    return cosine.masked_fill(flat_a | flat_b, 0)

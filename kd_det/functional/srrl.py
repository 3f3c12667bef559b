"""SRRL: embeddings, compared directly and through the teacher's classifier."""

from torch import Tensor
from torch.nn import functional as F

from kd_det.functional._common import (
    check_choice,
    check_shapes,
    float32_math,
)


@float32_math
def feature_matching_loss(
    student_embed: Tensor, teacher_embed: Tensor
) -> Tensor:
    r"""SRRL feature matching: mean squared difference of two embeddings.

    .. math::
        \ell_i = \frac{1}{C} \sum_c (s_{ic} - t_{ic})^2

    Args:
        student_embed: Adapted and pooled student feature, shape (N, C).
        teacher_embed: Input of the teacher's classifier, shape (N, C);
            detached.

    Returns:
        Shape (N,).

    Raises:
        ValueError: If the shapes differ.

    Paper: https://openreview.net/forum?id=ZzwDy_wiWv

    Differs from the paper: mean over channels, as in the authors' code,
    instead of the squared norm.
    """
    check_shapes(
        student_embed=(student_embed, 'N C'),
        teacher_embed=(teacher_embed, 'N C'),
    )
    return (student_embed - teacher_embed.detach()).square().mean(1)


@float32_math
def softmax_regression_loss(
    cross_logits: Tensor, teacher_logits: Tensor, mode: str = 'mse'
) -> Tensor:
    r"""SRRL softmax regression: compare the teacher's classifier outputs.

    With cross logits :math:`z`, teacher logits :math:`z^T`, their softmax
    :math:`p, p^T` and sigmoid :math:`q, q^T`:

    .. math::
        \ell^{mse} = \frac{1}{K} \sum_k (z_k - z^T_k)^2, \quad
        \ell^{ce} = -\sum_k p^T_k \log p_k, \quad
        \ell^{kl} = \sum_k p^T_k \log (p^T_k / p_k)

        \ell^{bce} = -\sum_k q^T_k \log q_k + (1 - q^T_k) \log (1 - q_k)

    'ce' and 'kl' are invariant to a common shift of the logits, 'mse' and
    'bce' are not. 'ce' is 'kl' plus the teacher's entropy, so its minimum is
    not 0; neither is that of 'bce', which is for classifiers with a sigmoid
    per class.

    Args:
        cross_logits: The student's embedding through the teacher's frozen
            classifier, shape (N, K).
        teacher_logits: Shape (N, K); detached.
        mode: 'mse', 'ce', 'kl' or 'bce'.

    Returns:
        Shape (N,).

    Raises:
        ValueError: If the shapes differ or the mode is unknown.

    Paper: https://openreview.net/forum?id=ZzwDy_wiWv
    """
    check_shapes(
        cross_logits=(cross_logits, 'N K'),
        teacher_logits=(teacher_logits, 'N K'),
    )
    check_choice('mode', mode, ('mse', 'ce', 'kl', 'bce'))
    teacher_logits = teacher_logits.detach()
    if mode == 'mse':
        return (cross_logits - teacher_logits).square().mean(1)
    if mode == 'bce':
        return F.binary_cross_entropy_with_logits(
            cross_logits, teacher_logits.sigmoid(), reduction='none'
        ).sum(1)
    log_student = cross_logits.log_softmax(1)
    log_teacher = teacher_logits.log_softmax(1)
    if mode == 'kl':
        log_student = log_student - log_teacher
    return -(log_teacher.exp() * log_student).sum(1)

"""SRRL: embeddings, also as the teacher's classifier sees them."""

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
    r"""Mean squared difference of two embeddings (the FM term of SRRL).

    .. math::
        \ell_i = \frac{1}{C} \sum_c (s_{ic} - t_{ic})^2

    Args:
        student_embed: Adapted and pooled student feature, shape (N, C).
        teacher_embed: What the teacher's classifier consumes, shape (N, C);
            detached.

    Returns:
        Shape (N,).

    Raises:
        ValueError: If the shapes differ.

    Paper: https://openreview.net/forum?id=ZzwDy_wiWv

    Differs from the paper: mean over the channels, as in the authors' code,
    where the paper has the squared norm.
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
    r"""Compare both embeddings as the teacher's classifier sees them (SRRL).

    With :math:`z` the cross logits, :math:`z^T` those of the teacher,
    :math:`p, p^T` their softmax and :math:`q, q^T` their sigmoid:

    .. math::
        \ell^{mse} = \frac{1}{K} \sum_k (z_k - z^T_k)^2, \quad
        \ell^{ce} = -\sum_k p^T_k \log p_k, \quad
        \ell^{kl} = \sum_k p^T_k \log (p^T_k / p_k)

        \ell^{bce} = -\sum_k q^T_k \log q_k + (1 - q^T_k) \log (1 - q_k)

    'mse' and 'bce' see a common shift of the logits, 'ce' and 'kl' do not.
    'ce' is not 0 at equality: it is 'kl' plus the teacher's entropy; nor is
    'bce', which is for classifiers with a sigmoid a class.

    Args:
        cross_logits: The student's embedding through the teacher's frozen
            classifier, shape (N, K).
        teacher_logits: Shape (N, K); detached.
        mode: 'mse', 'ce', 'kl' or 'bce'.

    Returns:
        Shape (N,).

    Raises:
        ValueError: If the shapes differ or the mode does not exist.

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

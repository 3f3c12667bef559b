"""Losses on the norm and the direction of an embedding (the KD++ family)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from kd_det.functional._common import (
    ZERO_NORM,
    check_finite,
    check_labels,
    check_positive,
    check_shapes,
    float32_math,
    holds,
    safe_norm,
    safe_normalize,
    shorten,
)


@float32_math
def nd_loss(
    student_embed: Tensor,
    teacher_embed: Tensor,
    centroids: Tensor,
    labels: Tensor,
) -> Tensor:
    r"""ND: align the direction with the class mean and raise the norm.

    .. math::
        \ell_i = 1 - \frac{s_i \cdot \hat c_{y_i}}{\max(\|s_i\|, \|t_i\|)},
        \qquad \hat c = c / \|c\|

    The teacher's embedding enters only through its norm. If the student's norm
    is at least the teacher's, the denominator is the student's norm and the
    gradient is tangential; otherwise the gradient is constant,
    :math:`-\hat c / \|t\|`. If both norms are 0, the loss is 1 and the
    gradient 0.

    Args:
        student_embed: Shape (N, D).
        teacher_embed: Shape (N, D); detached.
        centroids: Class means of the teacher's embeddings, shape (K, D), not
            necessarily normalised; detached.
        labels: Shape (N,), integers in [0, K).

    Returns:
        Shape (N,), values in [0, 2].

    Raises:
        ValueError: If shapes differ, a label is outside [0, K), or the
            centroid of a label that is present is 0.

    Paper: https://arxiv.org/abs/2305.17007

    Differs from the authors' code: no loop over samples, the teacher is
    detached, and zero norms do not give NaN.
    """
    check_shapes(
        student_embed=(student_embed, 'N D'),
        teacher_embed=(teacher_embed, 'N D'),
        centroids=(centroids, 'K D'),
        labels=(labels, 'N'),
    )
    projection = _project(student_embed, centroids, labels)
    norm_s = safe_norm(student_embed)
    norm_t = safe_norm(teacher_embed.detach())
    # Not torch.maximum, which would halve the gradient of norm_s on a tie.
    larger = torch.where(norm_s >= norm_t, norm_s, norm_t)
    zero = larger <= ZERO_NORM
    cosine = (projection / larger.masked_fill(zero, 1)).masked_fill(zero, 0)
    return 1 - cosine


@float32_math
def norm_loss(student_embed: Tensor, teacher_embed: Tensor) -> Tensor:
    r"""Squared difference of the embedding norms.

    .. math::
        \ell_i = (\|s_i\| - \|t_i\|)^2

    Args:
        student_embed: Shape (N, D). A zero row gets no gradient.
        teacher_embed: Shape (N, D); detached.

    Returns:
        Shape (N,).

    Raises:
        ValueError: If the shapes differ.

    Paper: https://arxiv.org/abs/2305.17007
    """
    check_shapes(
        student_embed=(student_embed, 'N D'),
        teacher_embed=(teacher_embed, 'N D'),
    )
    norm_t = safe_norm(teacher_embed.detach())
    return (safe_norm(student_embed) - norm_t).square()


@float32_math
def sifn_loss(
    student_embed: Tensor, previous_norms: Tensor, step: float
) -> Tensor:
    r"""SIFN: raise the student's norm one step above its previous value.

    .. math::
        \ell_i = \big(\|s_i\| - (n_i + r)\big)^2

    Args:
        student_embed: Shape (N, D). A zero row gets no gradient.
        previous_norms: Norms :math:`n` of the same samples under an earlier
            state of the student, shape (N,); detached.
        step: Step :math:`r`, in units of the norm.

    Returns:
        Shape (N,).

    Raises:
        ValueError: If the shapes do not match.

    Paper: https://arxiv.org/abs/2305.17007
    """
    check_shapes(
        student_embed=(student_embed, 'N D'),
        previous_norms=(previous_norms, 'N'),
    )
    check_finite(step=step)
    target = previous_norms.detach() + step
    return (safe_norm(student_embed) - target).square()


@float32_math
def fdr_cosine_loss(
    student_embed: Tensor, centroids: Tensor, labels: Tensor
) -> Tensor:
    r"""Direction term of ND: one minus the cosine to the class mean.

    .. math::
        \ell_i = 1 - \cos(s_i, c_{y_i})

    Args:
        student_embed: Shape (N, D). A zero row gives 1 and no gradient.
        centroids: Class means, shape (K, D); detached.
        labels: Shape (N,), integers in [0, K).

    Returns:
        Shape (N,), values in [0, 2].

    Raises:
        ValueError: If shapes differ, a label is outside [0, K), or the
            centroid of a label that is present is 0.

    Paper: https://arxiv.org/abs/2305.17007
    """
    check_shapes(
        student_embed=(student_embed, 'N D'),
        centroids=(centroids, 'K D'),
        labels=(labels, 'N'),
    )
    return 1 - _project(safe_normalize(student_embed), centroids, labels)


@float32_math
def fdr_infonce_loss(
    student_embed: Tensor, centroids: Tensor, labels: Tensor, tau: float
) -> Tensor:
    r"""Contrastive direction loss: cross-entropy over cosines to class means.

    .. math::
        \ell_i = -\log \frac{\exp(\cos(s_i, c_{y_i}) / \tau)}
            {\sum_k \exp(\cos(s_i, c_k) / \tau)}

    Args:
        student_embed: Shape (N, D). A zero row gives log K and no gradient.
        centroids: Class means, shape (K, D); detached. A zero row has cosine
            0; it must not occur among the labels.
        labels: Shape (N,), integers in [0, K).
        tau: Temperature.

    Returns:
        Shape (N,).

    Raises:
        ValueError: If shapes differ, a label is outside [0, K), the centroid
            of a label that is present is 0, or ``tau`` is not above 0.

    Paper: https://arxiv.org/abs/2305.17007
    """
    check_shapes(
        student_embed=(student_embed, 'N D'),
        centroids=(centroids, 'K D'),
        labels=(labels, 'N'),
    )
    check_positive('tau', tau)
    labels = check_labels(labels, centroids.shape[0])
    centroids = centroids.detach()
    norms = safe_norm(centroids)
    _check_needed(norms[labels], labels)
    unit = centroids / norms.masked_fill(norms == 0, 1)[:, None]
    logits = safe_normalize(student_embed) @ unit.T / tau
    return F.cross_entropy(logits, labels, reduction='none')


def _project(embed: Tensor, centroids: Tensor, labels: Tensor) -> Tensor:
    """Return the projection of each row on its class mean, (N,)."""
    labels = check_labels(labels, centroids.shape[0])
    needed = centroids.detach()[labels]
    norms = safe_norm(needed)
    _check_needed(norms, labels)
    return (embed * needed).sum(1) / norms


def _check_needed(norms: Tensor, labels: Tensor) -> None:
    """Check that the centroids of these labels have non-zero norms."""
    present = norms != 0  # True for NaN, which is propagated
    message = 'centroids must be non-zero for every label present'
    if not holds(present, message):
        classes = labels[~present].unique().tolist()
        raise ValueError(
            f'{message}, but those of classes {shorten(classes)} are zero; '
            'compute centroids on data with these classes or drop these '
            'rows.'
        )

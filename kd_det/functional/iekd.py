"""IE-KD: one half of the student inherits, the other explores."""

import math

from torch import Tensor

from kd_det.functional._common import (
    check_choice,
    check_shapes,
    float32_math,
    safe_norm,
    safe_normalize,
)


@float32_math
def inheritance_loss(
    factor: Tensor, teacher_factor: Tensor, p: int | str = 1
) -> Tensor:
    r"""IE-KD, inheritance: pull a normalised factor to the teacher's.

    With :math:`u` the L2-normalised, flattened factor of a sample with n = m H
    W entries:

    .. math::
        S_p = \left( \frac{1}{N n} \sum_{i,j}
        |u(f_i)_j - u(t_i)_j|^p \right)^{1/p}, \qquad
        S_{cos} = \frac{1}{N} \sum_i (1 - \langle u(f_i), u(t_i) \rangle)

    An all-zero factor stays zero and gets no gradient. For equal factors value
    and gradient are 0 for every p.

    Args:
        factor: Encoded inheriting half, shape (N, m, H, W).
        teacher_factor: Encoded teacher map of the same shape; detached.
        p: 1 (mean absolute difference), 2 (root mean square over the whole
            batch) or 'cos'.

    Returns:
        A scalar: at most 2 / sqrt(n) for p 1 and 2, at most 2 for 'cos'.

    Raises:
        ValueError: If the shapes differ or p is unknown.

    Paper: https://arxiv.org/abs/2107.00181
    """
    student, teacher = _unit_vectors(factor, teacher_factor, p)
    if student.numel() == 0:
        return student.sum() * 0
    if p == 'cos':
        return (1 - (student * teacher).sum(1)).mean()
    return _distance(student, teacher, p)


@float32_math
def exploration_loss(
    factor: Tensor, teacher_factor: Tensor, p: int | str = 1
) -> Tensor:
    r"""IE-KD, exploration: push a normalised factor away from the teacher's.

    .. math::
        \ell_p = -S_p, \qquad
        \ell_{cos} = \frac{1}{N} \sum_i |\langle u(f_i), u(t_i) \rangle|

    with the terms of :func:`inheritance_loss`. For p 1 and 2 the negated
    teacher factor is an optimum, although it carries the same information; the
    optimum of 'cos' is orthogonal.

    Args:
        factor: Encoded exploring half, shape (N, m, H, W).
        teacher_factor: Encoded teacher map of the same shape; detached.
        p: 1, 2 or 'cos'.

    Returns:
        A scalar: in [-2 / sqrt(n), 0] for p 1 and 2, in [0, 1] for 'cos'.

    Raises:
        ValueError: If the shapes differ or p is unknown.

    Paper: https://arxiv.org/abs/2107.00181
    """
    student, teacher = _unit_vectors(factor, teacher_factor, p)
    if student.numel() == 0:
        return student.sum() * 0
    if p == 'cos':
        return (student * teacher).sum(1).abs().mean()
    return -_distance(student, teacher, p)


def _unit_vectors(
    factor: Tensor, teacher_factor: Tensor, p: int | str
) -> tuple[Tensor, Tensor]:
    check_shapes(
        factor=(factor, 'N m H W'),
        teacher_factor=(teacher_factor, 'N m H W'),
    )
    check_choice('p', p, (1, 2, 'cos'))
    return (
        safe_normalize(factor.flatten(1)),
        safe_normalize(teacher_factor.detach().flatten(1)),
    )


def _distance(student: Tensor, teacher: Tensor, p: int | str) -> Tensor:
    gap = student - teacher
    if p == 1:
        return gap.abs().mean()
    # A norm, since the root of a mean has no finite gradient at equality.
    return safe_norm(gap.flatten()) / math.sqrt(gap.numel())

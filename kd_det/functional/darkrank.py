"""DarkRank: the ranking of the nearest neighbours."""

import torch
from torch import Tensor

from kd_det.functional._common import (
    check_count,
    check_positive,
    check_shapes,
    float32_math,
    total,
)
from kd_det.functional.rkd import pair_distances


@float32_math
def darkrank_loss(
    student: Tensor,
    teacher: Tensor,
    alpha: float = 3.0,
    beta: float = 3.0,
    list_length: int = 4,
) -> Tensor:
    r"""Hard DarkRank: negative log-likelihood of the teacher's ranking.

    .. math::
        \ell = -\frac1N \sum_i \sum_{k=1}^{K} \log
        \frac{\exp S_{i \pi_i(k)}}{\sum_{l=k}^{K} \exp S_{i \pi_i(l)}},
        \qquad S_{ij} = -\alpha \, \|s_i - s_j\|^\beta

    with :math:`\pi_i` the teacher's K nearest neighbours of sample i, in order
    (Plackett-Luce model). With fewer than K + 1 samples the list contains all
    others; with fewer than three the loss is 0. Of two neighbours at the same
    teacher distance, the one with the smaller index comes first. Duplicates
    get no gradient.

    Args:
        student: Embeddings, shape (N, Ds).
        teacher: Embeddings of the same samples, shape (N, Dt); detached.
        alpha: Factor of the scores, above 0.
        beta: Exponent of the distances, at least 1; smaller values give
            unbounded gradients for close pairs.
        list_length: Number K of neighbours, at least 2.

    Returns:
        A scalar, the mean over the N lists.

    Raises:
        ValueError: If an argument is not 2-d, the batch sizes differ, or a
            number is out of its range.
        TypeError: If a numeric argument is not a number.

    Paper: https://arxiv.org/abs/1707.01220

    Differs from RKD's code: a sample is excluded from its own list by index,
    not as the first of the sorted list; distances are computed as in
    :func:`rkd_distance_loss`.
    """
    check_shapes(student=(student, 'N Ds'), teacher=(teacher, 'N Dt'))
    check_positive('alpha', alpha)
    check_positive('beta', beta)
    if beta < 1:
        raise ValueError(f'beta must be 1 or above, got {beta}.')
    length = check_count('list_length', list_length)
    if length < 2:
        raise ValueError(f'list_length must be at least 2, got {length}.')
    n = len(student)
    if n < 3:
        return student.sum() * 0
    _, theirs = pair_distances(teacher.detach())
    itself = torch.eye(n, dtype=torch.bool, device=student.device)
    near, order = theirs.masked_fill(itself, torch.inf).sort(stable=True)
    near, order = (rows[:, : min(length, n - 1)] for rows in (near, order))
    _, ours = pair_distances(student)
    # sorting alone would hide NaN in the teacher's embeddings
    scores = -alpha * ours.gather(1, order) ** beta + 0 * near
    # the last entry of a list has probability 1
    likelihood = total(
        scores[:, k] - scores[:, k:].logsumexp(1)
        for k in range(scores.shape[1] - 1)
    )
    return -likelihood.mean().to(student.dtype)

"""DarkRank: the order of the nearest neighbours, not their distances."""

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
    r"""DarkRank, hard: how likely the student ranks as the teacher does.

    .. math::
        \ell = -\frac1N \sum_i \sum_{k=1}^{K} \log
        \frac{\exp S_{i \pi_i(k)}}{\sum_{l=k}^{K} \exp S_{i \pi_i(l)}},
        \qquad S_{ij} = -\alpha \, \|s_i - s_j\|^\beta

    with :math:`\pi_i` the K nearest other samples of sample i by the
    teacher, the nearest first: the likelihood of Plackett and Luce of that
    list. Of fewer than K + 1 samples all others are in the list; fewer than
    three have no order, and the loss is 0. Where the teacher has two at the
    same distance, the earlier row comes first. The gradient of a pair of
    duplicates is 0.

    Args:
        student: Embeddings, shape (N, Ds).
        teacher: Embeddings of the same samples, shape (N, Dt); detached.
        alpha: Factor of the scores, above 0.
        beta: Power of the distances, 1 or above: below it the gradient of
            close pairs has no bound.
        list_length: K, 2 or above.

    Returns:
        A scalar, the mean over the N lists.

    Raises:
        ValueError: If an argument is not 2-d, the batch sizes differ, or a
            number is out of its range.
        TypeError: If a number is none.

    Paper: https://arxiv.org/abs/1707.01220

    Differs from the code of RKD: a sample is left out of its own list by its
    number, there as the first of the sorted; distances are as those of
    :func:`rkd_distance_loss`.
    """
    check_shapes(student=(student, 'N Ds'), teacher=(teacher, 'N Dt'))
    check_positive('alpha', alpha)
    check_positive('beta', beta)
    if beta < 1:
        raise ValueError(f'beta must be 1 or above, got {beta}.')
    length = check_count('list_length', list_length)
    if length < 2:
        raise ValueError(
            f'list_length must be at least 2, got {length}: a list of one '
            'has no order.'
        )
    n = len(student)
    if n < 3:
        return student.sum() * 0
    _, theirs = pair_distances(teacher.detach())
    itself = torch.eye(n, dtype=torch.bool, device=student.device)
    near, order = theirs.masked_fill(itself, torch.inf).sort(stable=True)
    near, order = (rows[:, : min(length, n - 1)] for rows in (near, order))
    _, ours = pair_distances(student)
    # the order alone would hide a NaN of the teacher
    scores = -alpha * ours.gather(1, order) ** beta + 0 * near
    # the last of a list has no rival left
    likelihood = total(
        scores[:, k] - scores[:, k:].logsumexp(1)
        for k in range(scores.shape[1] - 1)
    )
    return -likelihood.mean().to(student.dtype)

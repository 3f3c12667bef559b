"""Recall@K within one set of samples."""

import numbers
from collections.abc import Sequence

import torch
from torch import Tensor

from kd_det.functional._common import check_shapes, float32_math

# Number of distances computed at a time, 128 MiB in float64.
DISTANCES_AT_ONCE = 2**24


@float32_math
@torch.no_grad()
def recall_at_k(
    embeddings: Tensor, labels: Tensor, ks: Sequence[int]
) -> dict[int, float]:
    r"""Fraction of samples with a same-class sample among the K nearest.

    .. math::
        R@K = \frac{1}{N} \sum_i [\exists j \in \mathrm{knn}_K(i):
        y_j = y_i]

    Every sample is a query against all others, by Euclidean distance. The
    query itself is excluded by its index, so duplicates of it count as
    neighbours.

    Args:
        embeddings: Shape (N, D).
        labels: Integers in any range, shape (N,).
        ks: Numbers of neighbours, each in [1, N - 1].

    Returns:
        A dict from k to the recall in [0, 1].

    Raises:
        TypeError: If ks is not a sequence of integers.
        ValueError: If the shapes do not match, labels are not integers, an
            embedding is not finite, or a k is outside [1, N - 1].
    """
    check_shapes(embeddings=(embeddings, 'N D'), labels=(labels, 'N'))
    _check_ks(ks, len(embeddings))
    if labels.is_floating_point():
        raise ValueError(
            f'labels must have an integer dtype, got {labels.dtype}; give '
            'class indices, for instance labels.long().'
        )
    if not embeddings.isfinite().all():
        raise ValueError(
            'embeddings must be finite, got NaN or infinity; look for the '
            'layer that diverged.'
        )
    # Centred and in float64, so that a large offset costs no precision.
    x = embeddings.double()
    x = x - x.mean(0)
    n, deepest = len(x), max(ks)
    square = x.square().sum(1)
    hits = torch.zeros(deepest, dtype=torch.long, device=x.device)
    queries = torch.arange(n, device=x.device)
    for query in queries.split(max(1, DISTANCES_AT_ONCE // n)):
        # Without the query's squared norm, which does not change the order.
        distances = square - 2 * (x[query] @ x.T)
        distances[torch.arange(len(query), device=x.device), query] = torch.inf
        nearest = distances.topk(deepest, largest=False).indices
        same = labels[nearest] == labels[query, None]
        hits += (same.cumsum(1) > 0).sum(0)
    counts = hits.tolist()
    return {int(k): counts[k - 1] / n for k in ks}


def _check_ks(ks: Sequence[int], n: int):
    if isinstance(ks, (str, Tensor)) or not isinstance(ks, Sequence):
        raise TypeError(
            'ks must be a sequence of integers such as (1, 2, 4), got '
            f'{type(ks).__name__}.'
        )
    for k in ks:
        if not isinstance(k, numbers.Integral):
            raise TypeError(
                f'ks must contain integers, got {k!r} of type '
                f'{type(k).__name__}.'
            )
    if not ks or min(ks) < 1 or max(ks) >= n:
        raise ValueError(
            f'ks must contain at least one k, all in [1, N - 1] for N = {n} '
            f'embeddings, got {list(ks)}; drop the others or add samples.'
        )

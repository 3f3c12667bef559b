"""Class means (centroids) of embeddings."""

import torch
from torch import Tensor

from kd_det.functional._common import (
    check_count,
    check_labels,
    check_shapes,
)


@torch.no_grad()
def class_centroids(
    embeddings: Tensor, labels: Tensor, num_classes: int
) -> tuple[Tensor, Tensor]:
    r"""Compute the mean embedding of each class in float64, without gradients.

    .. math::
        c_k = \frac{1}{n_k} \sum_{i : y_i = k} e_i

    Args:
        embeddings: Shape (N, D).
        labels: Shape (N,), integers in [0, K).
        num_classes: Number of classes K, including background.

    Returns:
        The means, float32 of shape (K, D), and the counts :math:`n_k`, int64
        of shape (K,). A class without samples has a zero row and count 0.

    Raises:
        TypeError: If ``num_classes`` is not an integer.
        ValueError: If the shapes do not match, ``num_classes`` is below 1, or
            a label is outside [0, K).

    Differs from the authors' code: means are not rounded to four decimals.
    """
    check_shapes(embeddings=(embeddings, 'N D'), labels=(labels, 'N'))
    num_classes = check_count('num_classes', num_classes)
    labels = check_labels(labels, num_classes)
    sums = embeddings.new_zeros(
        (num_classes, embeddings.shape[1]), dtype=torch.float64
    ).index_add_(0, labels, embeddings.double())
    counts = labels.new_zeros(num_classes).index_add_(
        0, labels, torch.ones_like(labels)
    )
    means = sums / counts.clamp(min=1)[:, None]
    return means.float(), counts

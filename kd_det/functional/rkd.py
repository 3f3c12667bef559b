"""RKD: distances and angles between the samples of a batch."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from kd_det.functional._common import check_shapes, float32_math

# Relative to the mean distance. Samples closer than the first threshold are
# duplicates without a direction; below the second threshold the gradient is
# bounded.
DUPLICATE = 1e-6
NEAR = 1e-3
# Number of angles computed at a time, 20 MiB in five float64 tensors.
ANGLES_AT_ONCE = 2**19


@float32_math
def rkd_distance_loss(student: Tensor, teacher: Tensor) -> Tensor:
    r"""RKD-D: match pairwise distances within a batch, relative to their mean.

    .. math::
        \ell = \frac{1}{N^2} \sum_{i,j} h\!\left(
        \frac{d^S_{ij}}{\mu^S} - \frac{d^T_{ij}}{\mu^T} \right), \qquad
        \mu = \frac{1}{N (N - 1)} \sum_{i \ne j} d_{ij}

    with d the Euclidean distance and h the Huber loss with delta 1. The
    gradient flows through :math:`\mu^S`. With fewer than three samples the
    loss is 0. If all student samples coincide, their ratios are 1 and there is
    no gradient.

    Args:
        student: Embeddings, shape (N, Ds).
        teacher: Embeddings of the same samples, shape (N, Dt); detached.

    Returns:
        A scalar, the mean over all N * N entries.

    Raises:
        ValueError: If an argument is not 2-d or the batch sizes differ.

    Paper: https://arxiv.org/abs/1904.05068

    Differs from the authors' code: distances are computed in float64 from
    explicit differences, so a large offset or half precision does not reduce
    accuracy.
    """
    check_shapes(student=(student, 'N Ds'), teacher=(teacher, 'N Dt'))
    if len(student) < 3:
        return student.sum() * 0
    loss = F.smooth_l1_loss(
        _relative_distances(student), _relative_distances(teacher.detach())
    )
    return loss.to(student.dtype)


@float32_math
def rkd_angle_loss(student: Tensor, teacher: Tensor) -> Tensor:
    r"""RKD-A: match the angles formed by all triplets of samples in a batch.

    .. math::
        \ell = \frac{1}{N^3} \sum_{i,j,k} h(a^S_{ijk} - a^T_{ijk}), \qquad
        a_{ijk} = \left\langle \frac{x_j - x_i}{\|x_j - x_i\|},
        \frac{x_k - x_i}{\|x_k - x_i\|} \right\rangle

    with vertex i and h the Huber loss with delta 1. Two samples closer than
    1e-6 times the mean distance are duplicates: their direction is zero,
    without gradient. Below 1e-3 times the mean distance the value is exact but
    the gradient is scaled down with the distance, so that it is bounded. With
    fewer than three samples the loss is 0.

    Memory is O(N D + N^2) plus a chunk of the angles. The gradient is computed
    together with the value, so there is no second derivative.

    Args:
        student: Embeddings, shape (N, Ds).
        teacher: Embeddings of the same samples, shape (N, Dt); detached.

    Returns:
        A scalar, the mean over all N * N * N entries.

    Raises:
        ValueError: If an argument is not 2-d or the batch sizes differ.

    Paper: https://arxiv.org/abs/1904.05068

    Differs from the authors' code: no gradient of 1e10 for duplicates, and no
    (N, N, D) tensor.
    """
    check_shapes(student=(student, 'N Ds'), teacher=(teacher, 'N Dt'))
    n = len(student)
    if n < 3:
        return student.sum() * 0
    gap = _AngleGap.apply(*_geometry(student), *_geometry(teacher.detach()))
    return (gap / n**3).to(student.dtype)


def pair_distances(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return centred float64 rows and their pairwise distances."""
    x = x.double()
    x = x - x.mean(0)
    # From differences: |a|^2 + |b|^2 - 2ab suffers from cancellation.
    mode = 'donot_use_mm_for_euclid_dist'
    return x, torch.cdist(x, x, compute_mode=mode)


def _mean_distance(distances: Tensor) -> Tensor:
    n = len(distances)
    return distances.sum() / (n * (n - 1))


def _relative_distances(x: Tensor) -> Tensor:
    _, distances = pair_distances(x)
    diagonal = torch.eye(len(x), dtype=torch.bool, device=x.device)
    # The floor only matters if all rows coincide; the ratio is then 1 / 1.
    distances = distances.clamp_min(1e-100).masked_fill(diagonal, 0)
    return distances / _mean_distance(distances)


def _geometry(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the Gram matrix and the distances, which determine all angles."""
    x, distances = pair_distances(x)
    return x @ x.T, distances


class _AngleGap(torch.autograd.Function):
    """Sum the Huber loss over all angles, a chunk of vertices at a time.

    The backward pass is explicit, since autograd would keep every chunk and
    recomputing the chunks would take twice the time.
    """

    @staticmethod
    def forward(ctx, gram, distances, teacher_gram, teacher_distances):
        n = len(gram)
        inverse, teacher_inverse = (
            _inverse(distances),
            _inverse(teacher_distances),
        )
        # Bounds the gradient of pairs whose distance approaches 0.
        reach = distances / (NEAR * _mean_distance(distances))
        weight = inverse * reach.masked_fill(inverse == 0, 0).clamp(max=1)
        total = gram.new_zeros(())
        grad_gram = torch.zeros_like(gram)
        grad_distances = torch.zeros_like(distances)
        vertices = torch.arange(n, device=gram.device)
        for i in vertices.split(max(1, ANGLES_AT_ONCE // n**2)):
            inner = _inner_products(gram, i)
            gap = _scaled(inner, inverse[i])
            gap -= _scaled(
                _inner_products(teacher_gram, i), teacher_inverse[i]
            )
            slope = gap.clamp(-1, 1)
            # Huber: d^2 / 2 inside [-1, 1], |d| - 1 / 2 outside.
            total += (slope * gap.sub_(slope / 2)).sum()
            slope = _scaled(slope, weight[i])
            # As in _inner_products; j and k are interchangeable.
            row = slope.sum(2)
            grad_gram += slope.sum(0)
            grad_gram[i] -= 2 * row
            grad_gram[i, i] += row.sum(1)
            grad_distances[i] = (slope * inner).sum(2) * inverse[i] * -2
        ctx.save_for_backward(grad_gram, grad_distances)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        grad_gram, grad_distances = ctx.saved_tensors
        return grad * grad_gram, grad * grad_distances, None, None


def _inverse(distances: Tensor) -> Tensor:
    duplicate = distances <= DUPLICATE * _mean_distance(distances)
    return distances.reciprocal().masked_fill(duplicate, 0)


def _inner_products(gram: Tensor, i: Tensor) -> Tensor:
    """Compute <x_j - x_i, x_k - x_i> for some i and all j, k."""
    # G_jk - G_ij - G_ik + G_ii
    own = gram[i] - gram[i, i, None] / 2
    return (gram - own[:, :, None]).sub_(own[:, None, :])


def _scaled(values: Tensor, scale: Tensor) -> Tensor:
    return (values * scale[:, :, None]).mul_(scale[:, None, :])

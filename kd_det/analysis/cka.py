"""CKA of several representations, with any kernel, in minibatches.

For two complete representations see :func:`kd_det.functional.linear_cka`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from kd_det.checks import check_positive
from kd_det.errors import UserError
from kd_det.functional.cka import center

KERNELS = ('linear', 'rbf')


def rbf_gram(x: Tensor, threshold: float = 1.0) -> Tensor:
    r"""Return the Gaussian kernel (N, N) of rows (N, P), in float64.

    .. math::
        K_{ij} = \exp\left(-\frac{\|x_i - x_j\|^2}{2 \sigma^2}\right), \qquad
        \sigma = \theta \sqrt{\operatorname{median}_{ij} \|x_i - x_j\|^2}

    with the median over all pairs, including each sample with itself.

    Args:
        x: Rows (N, P).
        threshold: :math:`\theta`, the bandwidth in units of the median.

    Paper: https://arxiv.org/abs/1905.00414
    """
    check_positive('rbf_gram', 'threshold', threshold)
    x = x.detach().double()
    squares = torch.cdist(
        x, x, compute_mode='donot_use_mm_for_euclid_dist'
    ).square()
    # as in numpy, the mean of the two middle values
    width = (
        2 * threshold**2 * squares.flatten().quantile(0.5)
        if (squares.numel() < 2**24)
        else 2 * threshold**2 * squares.flatten().median()
    )
    # equal rows: every entry is 1 for any bandwidth
    return torch.exp(-squares / torch.where(width > 0, width, 1.0))


def linear_gram(x: Tensor) -> Tensor:
    """Return the inner products (N, N) of rows (N, P), in float64."""
    # centred here to avoid cancellation; CKA centres anyway
    x = center(x.detach())
    return x @ x.T


def hsic(k: Tensor, other: Tensor) -> Tensor:
    """Return the biased HSIC of two Gram matrices.

    .. math:: \\frac{\\operatorname{tr}(K H L H)}{(N - 1)^2}
    """
    count = len(k)
    centred = k - k.mean(0) - k.mean(1, keepdim=True) + k.mean()
    return (centred * other).sum() / max(count - 1, 1) ** 2


def unbiased_hsic(k: Tensor, other: Tensor) -> Tensor:
    r"""Return the unbiased HSIC of two Gram matrices of at least 4 samples.

    With the diagonals of K and L set to 0:

    .. math::
        \frac{1}{N (N - 3)} \left(\operatorname{tr}(K L) +
        \frac{1^\top K 1 \; 1^\top L 1}{(N - 1)(N - 2)} -
        \frac{2}{N - 2} 1^\top K L 1\right)

    Raises:
        UserError: There are fewer than 4 samples.

    Paper: https://jmlr.org/papers/v13/song12a.html
    """
    count = len(k)
    if count < 4:
        raise UserError(
            f'The debiased CKA needs at least 4 samples, got {count}; use '
            'more images, or --biased.'
        )
    k, other = _off_diagonal(k), _off_diagonal(other)
    crossed = (k * other).sum()
    sums = k.sum() * other.sum() / ((count - 1) * (count - 2))
    rows = k.sum(0) @ other.sum(1) * 2 / (count - 2)
    return (crossed + sums - rows) / (count * (count - 3))


def _off_diagonal(k: Tensor) -> Tensor:
    """Return a Gram matrix without its diagonal, minus its mean.

    Subtracting the mean only affects rounding: equal samples give exactly
    zero.
    """
    count = len(k)
    k = k - k.diagonal().diag()
    k = k - k.sum() / (count * (count - 1))
    return k - k.diagonal().diag()


class MinibatchCKA:
    r"""CKA of several representations, accumulated over minibatches.

    The three HSIC terms in the ratio are averaged over minibatches. With the
    unbiased estimator, the expected value does not depend on their size.

    Args:
        kernel: ``'linear'`` or ``'rbf'``.
        debiased: Whether to use the unbiased HSIC.
        threshold: See :func:`rbf_gram`.

    Raises:
        UserError: The kernel is unknown.

    Paper: https://arxiv.org/abs/2010.15327

    Example:
        >>> cka = MinibatchCKA()
        >>> for x, y in parts:
        ...     cka.update([x, y])
        >>> cka.matrix()
    """

    def __init__(
        self,
        kernel: str = 'linear',
        debiased: bool = True,
        threshold: float = 1.0,
    ) -> None:
        if kernel not in KERNELS:
            raise UserError(
                f"kernel={kernel!r}; accepted are 'linear' and 'rbf'."
            )
        self.kernel = kernel
        self.threshold = threshold
        self.hsic = unbiased_hsic if debiased else hsic
        self.total: Tensor | None = None
        self.parts = 0

    def update(self, representations: Sequence[Tensor]) -> None:
        """Add a minibatch.

        Args:
            representations: Matrices (N, P) of the same samples; P may differ.

        Raises:
            UserError: They are not matrices with equal numbers of rows, or
                their number has changed.
        """
        shapes = [tuple(x.shape) for x in representations]
        good = all(len(shape) == 2 for shape in shapes)
        if not good or len({rows for rows, _ in shapes}) != 1:
            raise UserError(
                f'CKA got representations with shapes {shapes}; matrices (N, '
                'P) of the same N samples are accepted.'
            )
        if self.total is not None and len(shapes) != len(self.total):
            raise UserError(
                f'CKA got {len(shapes)} representations after '
                f'{len(self.total)}; the number must not change.'
            )
        grams = [
            linear_gram(x)
            if self.kernel == 'linear'
            else rbf_gram(x, self.threshold)
            for x in representations
        ]
        table = torch.stack(
            [
                torch.stack([self.hsic(k, other) for other in grams])
                for k in grams
            ]
        )
        self.total = table if self.total is None else self.total + table
        self.parts += 1

    def matrix(self) -> Tensor:
        """Return the CKA of each pair (M, M), in float64.

        Raises:
            UserError: There are no samples.
        """
        if self.total is None:
            raise UserError(
                'MinibatchCKA has seen no samples; call update() first.'
            )
        table = self.total / self.parts
        own = table.diagonal()
        # clamped separately, since the product of two negatives is positive
        constant = own <= 0
        constant = constant[:, None] | constant[None, :]
        squares = (own[:, None] * own[None, :]).masked_fill(constant, 1)
        return table / squares.sqrt() * ~constant

"""Linear CKA: similarity of two representations of the same samples."""

import torch
from torch import Tensor

from kd_det.functional._common import (
    check_choice,
    check_shapes,
    float32_math,
)


@float32_math
def linear_cka(x: Tensor, y: Tensor, debiased: bool = False) -> Tensor:
    r"""Linear centred kernel alignment of two representations.

    With column-centred X and Y:

    .. math::
        \mathrm{CKA} = \frac{h(X, Y)}{\sqrt{h(X, X) \, h(Y, Y)}}, \qquad
        h(X, Y) = \|X^\top Y\|_F^2

    With few samples and many features the value is high even for independent
    data (0.96 for N = 40, P = 1000). ``debiased`` uses the unbiased HSIC
    estimator for h, the inner product of the U-centred Gram matrices, which is
    0 on average for independent data and may be negative.

    The value is 0 if a representation is the same for all samples.

    Args:
        x: Shape (N, P).
        y: Shape (N, Q).
        debiased: Use the unbiased estimator; needs at least 4 samples.

    Returns:
        A scalar, in [0, 1] unless debiased. Computed in float64.

    Raises:
        ValueError: If the shapes do not match, or ``debiased`` gets fewer than
            4 samples.

    Paper: https://arxiv.org/abs/1905.00414
    """
    check_shapes(x=(x, 'N P'), y=(y, 'N Q'))
    check_choice('debiased', debiased, (True, False))
    n = len(x)
    if debiased and n < 4:
        raise ValueError(
            f'x and y must have at least 4 samples for debiased=True, got {n}'
            '; collect more samples or pass debiased=False.'
        )
    dtype = torch.promote_types(x.dtype, y.dtype)
    if n == 0:
        return (x.sum() + y.sum()).to(dtype) * 0
    x, y = center(x), center(y)
    hsic = _debiased_hsic if debiased else _hsic
    xx, yy = hsic(x, x), hsic(y, y)
    alike = (xx <= _rounding(x)) | (yy <= _rounding(y))
    scale = (xx.masked_fill(alike, 1) * yy.masked_fill(alike, 1)).sqrt()
    # Multiplied by 0 instead of filled with 0, so that NaN is propagated.
    return (hsic(x, y) / scale * ~alike).to(dtype)


def center(x: Tensor) -> Tensor:
    """Return rows (N, P) minus their mean, in float64."""
    x = x.double()
    # Subtract the first row beforehand, so that a constant column becomes
    # exactly zero instead of the rounding error of its mean.
    x = x - x[:1].detach()
    return x - x.mean(0)


def _rounding(x: Tensor) -> Tensor:
    """Return the HSIC of x with itself that rounding error can produce."""
    return 1e-12 * x.square().sum().square()


def _hsic(x: Tensor, y: Tensor) -> Tensor:
    """Return the squared norm of x'y, computed from the smaller matrices."""
    if max(x.shape[1], y.shape[1]) <= len(x):
        return (x.T @ y).square().sum()
    return ((x @ x.T) * (y @ y.T)).sum()


def _debiased_hsic(x: Tensor, y: Tensor) -> Tensor:
    """Return the inner product of the U-centred Gram matrices of x and y.

    U-centring starts from Gram matrices with a zero diagonal. The rows of a
    centred Gram matrix sum to 0, so without the diagonal they sum to its
    negative, and the product only needs the diagonals.
    """
    n = len(x)
    own_x, own_y = x.square().sum(1), y.square().sum(1)
    return (
        _hsic(x, y)
        - n / (n - 2) * (own_x @ own_y)
        + own_x.sum() * own_y.sum() / ((n - 1) * (n - 2))
    )

"""Linear CKA against centred and U-centred Gram matrices, entry by entry."""

import math

import numpy as np
import pytest
import torch
from functional_toy import draw

from kd_det.functional import linear_cka

either = pytest.mark.parametrize('debiased', [False, True])


def close(actual, expected, **tolerance):
    expected = torch.as_tensor(expected, dtype=torch.float64)
    tolerance = {'rtol': 1e-10, 'atol': 1e-14, **tolerance}
    torch.testing.assert_close(actual.double(), expected, **tolerance)


def centred(gram):
    n = len(gram)
    out = np.zeros_like(gram)
    for i in range(n):
        for j in range(n):
            out[i, j] = (
                gram[i, j]
                - gram[i].sum() / n
                - gram[:, j].sum() / n
                + gram.sum() / n**2
            )
    return out


def u_centred(gram):
    gram, n = gram.copy(), len(gram)
    np.fill_diagonal(gram, 0)
    out = np.zeros_like(gram)
    for i in range(n):
        for j in range(n):
            if i != j:
                out[i, j] = (
                    gram[i, j]
                    - gram[i].sum() / (n - 2)
                    - gram[:, j].sum() / (n - 2)
                    + gram.sum() / ((n - 1) * (n - 2))
                )
    return out


def oracle(x, y, debiased):
    center = u_centred if debiased else centred
    k = center(x.numpy() @ x.numpy().T)
    m = center(y.numpy() @ y.numpy().T)
    return (k * m).sum() / math.sqrt((k * k).sum() * (m * m).sum())


def song(x, y):
    """HSIC_1 of Song et al. up to its factor, from matrices of ones."""
    n = len(x)
    k, m = x.numpy() @ x.numpy().T, y.numpy() @ y.numpy().T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    one = np.ones(n)
    return (
        np.trace(k @ m)
        + (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
        - 2 / (n - 2) * (one @ k @ m @ one)
    )


@either
@pytest.mark.parametrize(
    ('n', 'p', 'q'), [(20, 3, 4), (7, 12, 5), (6, 30, 40), (5, 1, 1)]
)
def test_oracle(debiased, n, p, q):
    # More samples than features and fewer: both ways to the same number.
    x, y = draw(n, p) + 3, draw(n, q, seed=1) * 2 - 1
    y[:, 0] += 2 * x[:, 0]
    close(linear_cka(x, y, debiased), oracle(x, y, debiased))


def test_four_samples():
    x, y = draw(4, 3), draw(4, 2, seed=1)
    close(linear_cka(x, y, debiased=True), oracle(x, y, True), rtol=1e-8)


def test_debiased_is_the_ratio_of_unbiased_hsic():
    x, y = draw(9, 4), draw(9, 6, seed=1)
    expected = song(x, y) / math.sqrt(song(x, x) * song(y, y))
    close(linear_cka(x, y, debiased=True), expected)


def test_biased_is_the_default():
    x, y = draw(9, 4), draw(9, 6, seed=1)
    assert torch.equal(linear_cka(x, y), linear_cka(x, y, False))


@either
def test_e10_identity_and_symmetry(debiased):
    x, y = draw(9, 4), draw(9, 6, seed=1)
    close(linear_cka(x, x, debiased), 1)
    close(linear_cka(x, y, debiased), linear_cka(y, x, debiased))


@either
def test_e10_similarity_transforms(debiased):
    x, y = draw(9, 4), draw(9, 6, seed=1)
    value = linear_cka(x, y, debiased)
    rotation = torch.linalg.qr(draw(4, 4, seed=2)).Q
    moved = -2.5 * x @ rotation + 10 * draw(4, seed=3)
    close(linear_cka(moved, y, debiased), value)
    general = linear_cka(x @ draw(4, 4, seed=4), y, debiased)
    assert abs(general - value) > 1e-3


def test_bounds():
    for seed in range(10):
        x, y = draw(9, 4, seed=seed), draw(9, 6, seed=seed + 100)
        assert 0 <= linear_cka(x, y) <= 1
        assert -1 <= linear_cka(x, y, debiased=True) <= 1


def test_bias_of_small_samples():
    # The value of the specification: independent data, N = 40, P = 1000.
    x, y = draw(40, 1000), draw(40, 1000, seed=1)
    close(linear_cka(x, y), 0.96, rtol=0.01)
    assert abs(linear_cka(x, y, debiased=True)) < 0.15
    mean = sum(
        linear_cka(draw(10, 50, seed=i), draw(10, 50, seed=i + 99), True)
        for i in range(50)
    )
    assert abs(mean / 50) < 0.1


@either
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_constant_representation_is_like_nothing(debiased, dtype):
    # 0.1 has no exact mean: its rounding must not be amplified.
    flat = torch.full((9, 4), 0.1, dtype=dtype, requires_grad=True)
    y = draw(9, 6).to(dtype).requires_grad_()
    for value in (
        linear_cka(flat, y, debiased),
        linear_cka(y, flat, debiased),
    ):
        assert value.item() == 0
        value.backward()
        assert flat.grad.abs().max() == 0 and y.grad.abs().max() == 0


def test_debiased_outlier():
    # One sample apart from equal others: the U-centred matrix is 0.
    x = torch.full((9, 4), 0.3, dtype=torch.float64)
    x[2] += 7.7
    assert linear_cka(x, draw(9, 3), debiased=True).item() == 0
    close(linear_cka(x, x), 1)


@either
def test_gradcheck(debiased):
    x = draw(6, 3).requires_grad_()
    y = draw(6, 8, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda a, b: linear_cka(a, b, debiased), (x, y)
    )


@either
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(debiased, dtype):
    x = (draw(12, 5) * 100 + 50).to(dtype)
    y = (x.double() @ draw(5, 4, seed=1) / 100).to(dtype)
    value = linear_cka(x, y, debiased)
    assert value.dtype == torch.float32
    close(value, oracle(x.double(), y.double(), debiased), rtol=1e-6)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(linear_cka(x, y, debiased), value)


@either
def test_float32_far_offset(debiased):
    x, y = (draw(12, 5) + 4096).float(), draw(12, 7, seed=1).float()
    expected = oracle(x.double() - 4096, y.double(), debiased)
    close(linear_cka(x, y, debiased), expected, rtol=1e-5)


@pytest.mark.parametrize('n', [0, 1])
def test_no_relation(n):
    x = draw(n, 3).requires_grad_()
    value = linear_cka(x, draw(n, 2))
    value.backward()
    assert value.shape == () and value.item() == 0
    assert torch.equal(x.grad, torch.zeros_like(x))


@either
def test_nan_is_not_masked(debiased):
    x = draw(9, 3)
    x[1, 1] = torch.nan
    assert linear_cka(x, draw(9, 2), debiased).isnan()
    assert linear_cka(torch.ones(9, 2), x, debiased).isnan()


@pytest.mark.parametrize('n', [0, 1, 3])
def test_debiased_needs_four(n):
    with pytest.raises(ValueError, match=f'at least 4 samples.*got {n}'):
        linear_cka(draw(n, 3), draw(n, 3), debiased=True)


def test_shapes():
    with pytest.raises(ValueError, match='y of shape.*N = 8.*N = 9'):
        linear_cka(draw(9, 3), draw(8, 3))
    with pytest.raises(ValueError, match=r'x must have shape \(N, P\)'):
        linear_cka(draw(9, 3, 2, 2), draw(9, 3))

"""CKA by kernels and by parts, against loops in NumPy."""

import math

import numpy as np
import pytest
import torch

from kd_det.analysis.cka import (
    MinibatchCKA,
    hsic,
    linear_gram,
    rbf_gram,
    unbiased_hsic,
)
from kd_det.errors import UserError
from kd_det.functional import linear_cka

either = pytest.mark.parametrize('debiased', [False, True])


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def cka_of(kernel, x, y, debiased=False, threshold=1.0):
    """All samples in one part."""
    cka = MinibatchCKA(kernel, debiased, threshold)
    cka.update([x, y])
    return cka.matrix()[0, 1]


def rbf_cka(x, y, threshold=1.0, debiased=False):
    return cka_of('rbf', x, y, debiased, threshold)


def kernel(x, threshold=1.0):
    """Gaussian kernel, pair by pair."""
    x = x.numpy()
    squares = np.array([[((a - b) ** 2).sum() for b in x] for a in x])
    width = (threshold**2) * np.median(squares)
    return np.exp(-squares / (2 * width))


def biased(k, m):
    n = len(k)
    h = np.eye(n) - np.ones((n, n)) / n
    return np.trace(k @ h @ m @ h) / (n - 1) ** 2


def unbiased(k, m):
    """HSIC_1 of Song et al., sums over different indices, by loops."""
    n = len(k)
    pairs = triples = quadruples = 0.0
    for i in range(n):
        for j in range(n):
            if j == i:
                continue
            pairs += k[i, j] * m[i, j]
            for q in range(n):
                if q in (i, j):
                    continue
                triples += k[i, j] * m[i, q]
                for r in range(n):
                    if r not in (i, j, q):
                        quadruples += k[i, j] * m[q, r]
    two = n * (n - 1)
    three, four = two * (n - 2), two * (n - 2) * (n - 3)
    return pairs / two + quadruples / four - 2 * triples / three


def oracle(k, m, debiased):
    of = unbiased if debiased else biased
    return of(k, m) / math.sqrt(of(k, k) * of(m, m))


@either
@pytest.mark.parametrize('threshold', [0.5, 1.0])
def test_rbf_against_loops(debiased, threshold):
    x, y = draw(8, 5), draw(8, 3, seed=1)
    expected = oracle(kernel(x, threshold), kernel(y, threshold), debiased)
    found = rbf_cka(x, y, threshold, debiased)
    assert found.item() == pytest.approx(expected, rel=1e-9)


@either
def test_linear_is_the_function(debiased):
    x, y = draw(9, 4), draw(9, 20, seed=1)
    found = cka_of('linear', x, y, debiased)
    expected = linear_cka(x, y, debiased)
    torch.testing.assert_close(found, expected)


def test_unbiased_hsic_against_loops():
    k, m = linear_gram(draw(6, 3)), linear_gram(draw(6, 4, seed=1))
    expected = unbiased(k.numpy(), m.numpy())
    assert unbiased_hsic(k, m).item() == pytest.approx(expected, rel=1e-9)


@either
@pytest.mark.parametrize('name', ['linear', 'rbf'])
def test_parts_against_loops(name, debiased):
    reps = [draw(10, 4), draw(10, 6, seed=1), draw(10, 2, seed=2)]
    cka = MinibatchCKA(name, debiased)
    of = unbiased if debiased else biased
    total = np.zeros((3, 3))
    for part in (slice(0, 5), slice(5, 10)):
        cka.update([x[part] for x in reps])
        grams = [
            kernel(x[part]) if name == 'rbf' else (x[part] @ x[part].T).numpy()
            for x in reps
        ]
        total += [[of(k, m) for m in grams] for k in grams]
    own = np.diag(total)
    expected = total / np.sqrt(own[:, None] * own[None, :])
    np.testing.assert_allclose(cka.matrix().numpy(), expected, rtol=1e-9)


def test_invariants():
    x, y = draw(40, 6), draw(40, 6, seed=1)
    turn, _ = torch.linalg.qr(draw(6, 6, seed=2))
    moved = 3 * x @ turn + 5
    for debiased in (False, True):
        same = rbf_cka(x, moved, debiased=debiased)
        assert same.item() == pytest.approx(1, abs=1e-9)
        one, other = rbf_cka(x, y, debiased=debiased), rbf_cka(y, x)
        assert one == rbf_cka(moved, y, debiased=debiased).item() or (
            one.item()
            == pytest.approx(rbf_cka(moved, y, debiased=debiased).item())
        )
        if not debiased:
            assert one.item() == pytest.approx(other.item())
    squeezed = x * torch.tensor([9.0, 1, 1, 1, 1, 1])
    assert rbf_cka(x, squeezed) < 0.99


def test_debiased_is_near_0_where_the_plain_one_is_not():
    x, y = draw(40, 1000), draw(40, 1000, seed=1)
    plain, fair = MinibatchCKA(debiased=False), MinibatchCKA()
    for cka in (plain, fair):
        cka.update([x, y])
    assert plain.matrix()[0, 1] > 0.9
    assert abs(fair.matrix()[0, 1]) < 0.1
    # in parts of 8 just the same
    parts = MinibatchCKA()
    for first in range(0, 40, 8):
        parts.update([x[first : first + 8], y[first : first + 8]])
    assert abs(parts.matrix()[0, 1]) < 0.1


def test_arguments_are_left_as_they_are():
    k = rbf_gram(draw(6, 3))
    before = k.clone()
    unbiased_hsic(k, k)
    hsic(k, k)
    assert torch.equal(k, before)


def test_what_does_not_vary_is_like_nothing():
    x = torch.ones(6, 3, dtype=torch.float64)
    for debiased in (False, True):
        assert rbf_cka(x, draw(6, 2), debiased=debiased) == 0
        cka = MinibatchCKA(debiased=debiased)
        cka.update([x, draw(6, 2)])
        assert cka.matrix()[0, 1] == 0


@pytest.mark.parametrize(
    'make, message',
    [
        (lambda: MinibatchCKA('poly'), "'linear' and 'rbf'"),
        (lambda: MinibatchCKA().matrix(), 'no samples'),
        (lambda: rbf_cka(draw(3, 2), draw(3, 2), debiased=True), 'at least 4'),
        (lambda: rbf_cka(draw(5, 2), draw(4, 2)), 'same N samples'),
    ],
)
def test_refusals(make, message):
    with pytest.raises(UserError, match=message):
        make()


@either
@pytest.mark.parametrize('kernel', ['linear', 'rbf'])
@pytest.mark.parametrize('count', [4, 37, 1000])
def test_what_is_constant_is_like_nothing(kernel, debiased, count):
    """Exactly, whatever the rounding: 0, also with itself."""
    same = torch.full((count, 3), 0.1).expand(count, 3)
    cka = MinibatchCKA(kernel, debiased)
    cka.update([same, same * 3, draw(count, 2)])
    expected = torch.zeros(3, 3, dtype=torch.float64)
    expected[2, 2] = 1
    torch.testing.assert_close(cka.matrix(), expected, rtol=0, atol=1e-9)


def test_what_cannot_be_compared_is_told():
    cka = MinibatchCKA()
    x = draw(6, 3)
    for wrong in ([x, x[:5]], [x[:, 0]], [x[None], x[None]]):
        with pytest.raises(UserError, match='of the same N samples'):
            cka.update(wrong)
    cka.update([x, x])
    with pytest.raises(UserError, match='1 representations after 2'):
        cka.update([x])
    with pytest.raises(UserError, match='threshold=0'):
        rbf_cka(x, x, threshold=0)


def test_nan_stays_visible():
    x = draw(6, 3)
    for kernel in ('linear', 'rbf'):
        cka = MinibatchCKA(kernel)
        cka.update([x, x * float('nan')])
        assert cka.matrix().isnan().tolist() == [[False, True], [True, True]]

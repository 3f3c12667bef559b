"""IE-KD against loops, and the invariants that hold for its two halves."""

import math

import pytest
import torch
from functional_toy import draw

from kd_det.functional import exploration_loss, inheritance_loss

LOSSES = [inheritance_loss, exploration_loss]
ORDERS = [1, 2, 'cos']
both = pytest.mark.parametrize('loss', LOSSES)
every = pytest.mark.parametrize('p', ORDERS)
# n = 4 * 5 * 5 = 100 entries, so that 2 / sqrt(n) is 0.2.
SHAPE = (3, 4, 5, 5)


def close(actual, expected, **tolerance):
    expected = torch.as_tensor(expected, dtype=torch.float64)
    tolerance = {'rtol': 1e-12, 'atol': 1e-15, **tolerance}
    torch.testing.assert_close(actual.double(), expected, **tolerance)


def gradient(loss, factor, teacher, p=1):
    factor = factor.detach().clone().requires_grad_()
    loss(factor, teacher, p).backward()
    return factor.grad


def unit(sample):
    entries = sample.numpy().ravel()
    norm = math.sqrt(sum(x * x for x in entries))
    return [x / norm for x in entries]


def oracle(loss, factor, teacher, p):
    pairs = [(unit(f), unit(t)) for f, t in zip(factor, teacher, strict=True)]
    if p == 'cos':
        cosines = [
            sum(x * y for x, y in zip(f, t, strict=True)) for f, t in pairs
        ]
        if loss is inheritance_loss:
            return sum(1 - c for c in cosines) / len(cosines)
        return sum(abs(c) for c in cosines) / len(cosines)
    powers = [
        abs(x - y) ** p for f, t in pairs for x, y in zip(f, t, strict=True)
    ]
    distance = (sum(powers) / len(powers)) ** (1 / p)
    return distance if loss is inheritance_loss else -distance


@both
@every
def test_oracle(loss, p):
    f, t = draw(*SHAPE) * 3, draw(*SHAPE, seed=1)
    # Samples of different norms: p 2 is a root over the batch, not a mean
    # of roots (I4).
    f[1] += 4 * t[1]
    value = loss(f, t, p)
    assert value.shape == ()
    close(value, oracle(loss, f, t, p))


@both
def test_p_1_is_the_default(loss):
    f, t = draw(*SHAPE), draw(*SHAPE, seed=1)
    assert torch.equal(loss(f, t), loss(f, t, 1))


@both
@every
def test_gradcheck(loss, p):
    f = draw(2, 3, 2, 2).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: loss(x, draw(2, 3, 2, 2, seed=1), p), f
    )


@both
@every
def test_e1_scale(loss, p):
    f, t = draw(*SHAPE), draw(*SHAPE, seed=1)
    scale = torch.tensor([0.01, 3, 500]).double().view(3, 1, 1, 1)
    close(loss(f * scale, t, p), loss(f, t, p))
    close(loss(f, t * scale, p), loss(f, t, p))


@pytest.mark.parametrize('p', [1, 2])
def test_e2_exploration_is_the_negative(p):
    f, t = draw(*SHAPE), draw(*SHAPE, seed=1)
    assert exploration_loss(f, t, p) == -inheritance_loss(f, t, p)
    grad = gradient(exploration_loss, f, t, p)
    assert torch.equal(grad, -gradient(inheritance_loss, f, t, p))
    assert grad.abs().max() > 0


@pytest.mark.parametrize('p', [1, 2])
def test_e3_bounds(p):
    t = draw(*SHAPE).sign()
    close(exploration_loss(-3 * t, t, p), -0.2)
    for seed in range(5):
        value = exploration_loss(draw(*SHAPE, seed=seed), t, p)
        assert -0.2 < value < 0
    assert inheritance_loss(t, t, p) == 0


@both
@every
def test_e4_gradient_is_tangential(loss, p):
    f, t = draw(*SHAPE), draw(*SHAPE, seed=1)
    grad = gradient(loss, f, t, p)
    assert (grad * f).sum((1, 2, 3)).abs().max() < 1e-16


def test_e5_descent_pulls_and_pushes():
    f, t = draw(*SHAPE), draw(*SHAPE, seed=1)
    before = inheritance_loss(f, t)
    inherited = f - 0.1 * gradient(inheritance_loss, f, t)
    explored = f - 0.1 * gradient(exploration_loss, f, t)
    assert inheritance_loss(inherited, t) < before
    assert inheritance_loss(explored, t) > before


def test_e6_root_mean_square_and_cosine():
    f, t = draw(*SHAPE), draw(*SHAPE, seed=1)
    close(
        100 * inheritance_loss(f, t, 2) ** 2,
        2 * inheritance_loss(f, t, 'cos'),
    )


def test_e7_cosine():
    f = draw(*SHAPE)
    close(exploration_loss(f, f, 'cos'), 1)
    close(exploration_loss(-f, f, 'cos'), 1)
    close(inheritance_loss(-f, f, 'cos'), 2)
    close(inheritance_loss(f, f, 'cos'), 0)
    # Orthogonal: what exploration looks for, with gradient 0.
    t = f.roll(1, dims=1) * torch.tensor([1, -1, 1, -1]).view(4, 1, 1)
    t = t - f * ((f * t).sum((1, 2, 3)) / f.square().sum((1, 2, 3))).view(
        3, 1, 1, 1
    )
    close(exploration_loss(f, t, 'cos'), 0)


def test_e11_magnitude_of_untrained_factors():
    # sqrt(2 / n) * sqrt(2 / pi) with n = 32 * 8 * 8
    f, t = draw(16, 32, 8, 8), draw(16, 32, 8, 8, seed=1)
    close(inheritance_loss(f, t), 0.0249, rtol=0.01)


@both
@every
def test_i1_finite_gradient_at_equality(loss, p):
    t = draw(*SHAPE)
    for dtype in (torch.float64, torch.float32, torch.float16):
        grad = gradient(loss, t.to(dtype), t.to(dtype), p)
        assert grad.isfinite().all()
        assert grad.abs().max() < 1e-2
    if p != 'cos':
        assert torch.equal(grad, torch.zeros_like(grad))


@both
@every
def test_i2_zero_factor(loss, p):
    t = draw(*SHAPE)
    zero = torch.zeros_like(t)
    assert loss(zero, t, p).isfinite()
    assert torch.equal(gradient(loss, zero, t, p), zero)
    one_zero = t.clone()
    one_zero[1] = 0
    grad = gradient(loss, one_zero, draw(*SHAPE, seed=1), p)
    assert grad.isfinite().all() and grad.abs().max() < 1
    assert loss(t, zero, p).isfinite()


@both
@every
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(loss, p, dtype):
    # Norms whose squares overflow float16.
    f = (draw(*SHAPE) * 300).to(dtype).requires_grad_()
    t = draw(*SHAPE, seed=1).to(dtype).requires_grad_()
    value = loss(f, t, p)
    assert value.dtype == torch.float32
    exact = f.detach().double(), t.detach().double()
    close(value, oracle(loss, *exact, p), rtol=1e-5, atol=1e-6)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(loss(f, t, p), value)
    value.backward()
    assert f.grad.dtype == dtype and t.grad is None


@both
@every
def test_empty_batch(loss, p):
    f = draw(0, 4, 5, 5).requires_grad_()
    value = loss(f, draw(0, 4, 5, 5), p)
    value.backward()
    assert value.shape == () and value.item() == 0
    assert f.grad.shape == f.shape


@both
@every
def test_nan_is_not_masked(loss, p):
    f = draw(*SHAPE)
    f[1, 0, 0, 0] = torch.nan
    assert loss(f, draw(*SHAPE, seed=1), p).isnan()


@both
def test_errors(loss):
    f = draw(*SHAPE)
    for p in (3, 0, 'l1', None):
        with pytest.raises(ValueError, match="p must be one of 1, 2, 'cos'"):
            loss(f, f, p)
    with pytest.raises(ValueError, match='teacher_factor.*m = 2.*m = 4'):
        loss(f, f[:, :2])
    with pytest.raises(ValueError, match=r'factor must have shape \(N, m'):
        loss(f.flatten(1), f.flatten(1))

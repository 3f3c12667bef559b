"""Sigmoid KD and localisation distillation against loops."""

import math

import pytest
import torch

from kd_det.functional import kd_loss, ld_loss, sigmoid_kd_loss

N, K, B = 6, 4, 5


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(0)
    return 2 * torch.randn(2, N, K, generator=generator, dtype=torch.float64)


@pytest.fixture
def corners():
    generator = torch.Generator().manual_seed(1)
    shape = (2, N, 4, B)
    return 3 * torch.randn(shape, generator=generator, dtype=torch.float64)


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def naive_sigmoid_kd(student, teacher, tau, gamma):
    out = []
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        value = 0.0
        for a, b in zip(s, t, strict=True):
            q, p = sigmoid(a / tau), sigmoid(b / tau)
            kl = p * math.log(p / q)
            kl += (1 - p) * math.log((1 - p) / (1 - q))
            value += abs(p - q) ** gamma * kl
        out.append(tau**2 * value)
    return torch.tensor(out, dtype=torch.float64)


def naive_ld(student, teacher, tau):
    out = []
    for s, t in zip(student, teacher, strict=True):
        edges = []
        for a, b in zip(s.tolist(), t.tolist(), strict=True):
            q = [math.exp(v / tau) for v in a]
            p = [math.exp(v / tau) for v in b]
            q, p = [v / sum(q) for v in q], [v / sum(p) for v in p]
            pairs = zip(p, q, strict=True)
            edges.append(sum(u * math.log(u / v) for u, v in pairs))
        out.append(tau**2 * sum(edges) / 4)
    return torch.tensor(out, dtype=torch.float64)


@pytest.mark.parametrize('tau', [1.0, 2.5])
@pytest.mark.parametrize('gamma', [0, 1, 2.0])
def test_sigmoid_kd(logits, tau, gamma):
    ours = sigmoid_kd_loss(*logits, tau, gamma)
    torch.testing.assert_close(ours, naive_sigmoid_kd(*logits, tau, gamma))


@pytest.mark.parametrize('gamma', [0, 1, 2.0])
def test_sigmoid_kd_invariants(logits, gamma):
    s, t = logits
    assert not sigmoid_kd_loss(t, t.clone(), 1.0, gamma).any()
    assert (sigmoid_kd_loss(s, t, 1.0, gamma) > 0).all()
    flipped = sigmoid_kd_loss(-s, -t, 1.0, gamma)  # yes and no exchanged
    torch.testing.assert_close(flipped, sigmoid_kd_loss(s, t, 1.0, gamma))
    order = torch.randperm(K, generator=torch.Generator().manual_seed(3))
    mixed = sigmoid_kd_loss(s[:, order], t[:, order], 1.0, gamma)
    torch.testing.assert_close(mixed, sigmoid_kd_loss(s, t, 1.0, gamma))


def test_sigmoid_kd_of_one_class_is_kd_of_two(logits):
    """A class against its absence, whose logit is 0."""
    s, t = logits[:, :, 0]
    pairs = [torch.stack([z, torch.zeros_like(z)], 1) for z in (s, t)]
    torch.testing.assert_close(
        sigmoid_kd_loss(s[:, None], t[:, None], 2.0), kd_loss(*pairs, 2.0)
    )


def test_saturated_logits_are_finite():
    s = torch.tensor([[80.0, -80.0]], requires_grad=True)
    t = -s.detach()
    for gamma in (0, 1, 2):
        loss = sigmoid_kd_loss(s, t, 1.0, gamma)
        assert torch.isfinite(loss).all()
        (grad,) = torch.autograd.grad(loss.sum(), s)
        assert torch.isfinite(grad).all()
    equal = sigmoid_kd_loss(s, s.detach(), 1.0, 1.0)
    (grad,) = torch.autograd.grad(equal.sum(), s)
    assert not grad.any()


@pytest.mark.parametrize('tau', [1.0, 10.0])
def test_ld(corners, tau):
    torch.testing.assert_close(ld_loss(*corners, tau), naive_ld(*corners, tau))
    assert ld_loss(corners[0], corners[0].clone(), tau).abs().max() < 1e-9
    shift = torch.randn(N, 4, 1, dtype=torch.float64)
    torch.testing.assert_close(
        ld_loss(corners[0] + shift, corners[1], tau), ld_loss(*corners, tau)
    )


def test_gradients(logits, corners):
    s, t = logits
    for gamma in (0, 2.0):
        assert torch.autograd.gradcheck(
            lambda z, g=gamma: sigmoid_kd_loss(z, t, 2.0, g),
            s.clone().requires_grad_(),
        )
    assert torch.autograd.gradcheck(
        lambda z: ld_loss(z, corners[1], 5.0),
        corners[0].clone().requires_grad_(),
    )


@pytest.mark.parametrize(
    'function, shape', [(sigmoid_kd_loss, (K,)), (ld_loss, (4, B))]
)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_empty_and_detached(function, shape, dtype):
    generator = torch.Generator().manual_seed(2)
    s, t = torch.randn(2, N, *shape, generator=generator)
    half = function(s.to(dtype), t.to(dtype))
    assert half.dtype == torch.float32
    torch.testing.assert_close(
        half, function(s.to(dtype).float(), t.to(dtype).float())
    )
    with torch.autocast('cpu', torch.bfloat16):
        torch.testing.assert_close(function(s, t), function(s, t))
    empty = torch.zeros(0, *shape, requires_grad=True)
    loss = function(empty, empty.detach())
    assert loss.shape == (0,)
    loss.sum().backward()
    teacher = t.requires_grad_()
    function(s.requires_grad_(), teacher).sum().backward()
    assert teacher.grad is None


def test_refusals(logits, corners):
    s, t = logits
    with pytest.raises(ValueError, match='gamma must be 0 or .* got 0.5'):
        sigmoid_kd_loss(s, t, 1.0, 0.5)
    with pytest.raises(ValueError, match='tau'):
        sigmoid_kd_loss(s, t, 0.0)
    with pytest.raises(ValueError, match='teacher_logits'):
        sigmoid_kd_loss(s, t[:, :2])
    with pytest.raises(ValueError, match='four edges'):
        ld_loss(corners[0][:, :3], corners[1][:, :3])
    with pytest.raises(ValueError, match='tau'):
        ld_loss(*corners, -1.0)

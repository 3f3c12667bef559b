"""Factor transfer against loops."""

import math

import pytest
import torch
from functional_toy import close, draw, gradient

from kd_det.functional import (
    factor_transfer_loss,
)


class TestFactorTransfer:
    @pytest.mark.parametrize('shape', [(4, 3, 2, 5), (4, 6)])
    def test_oracle(self, shape):
        s, t = draw(*shape), draw(*shape, seed=1)
        expected = []
        for a, b in zip(s.numpy(), t.numpy(), strict=True):
            a, b = a.ravel(), b.ravel()
            norms = math.sqrt(sum(a**2)), math.sqrt(sum(b**2))
            expected.append(
                sum(
                    abs(x / norms[0] - y / norms[1])
                    for x, y in zip(a, b, strict=True)
                )
                / len(a)
            )
        close(factor_transfer_loss(s, t), expected)

    def test_scale_per_sample_but_not_sign(self):
        s, t = draw(4, 3, 2, 2), draw(4, 3, 2, 2, seed=1)
        scale = torch.tensor([0.01, 2, 30, 400]).double().view(4, 1, 1, 1)
        loss = factor_transfer_loss(s, t)
        close(factor_transfer_loss(s * scale, t), loss)
        close(factor_transfer_loss(s, t * scale), loss)
        assert (factor_transfer_loss(-s, t) - loss).abs().min() > 1e-3

    def test_bound_is_reached(self):
        t = draw(3, 4, 2, 2).sign()
        close(factor_transfer_loss(-5 * t, t), [2 / math.sqrt(16)] * 3)
        close(factor_transfer_loss(5 * t, t), [0] * 3)

    def test_zero_student(self):
        t = draw(2, 3, 4, 4, seed=1)
        zero = torch.zeros_like(t)
        grad = gradient(lambda s: factor_transfer_loss(s, t), zero)
        assert torch.equal(grad, zero)
        assert factor_transfer_loss(zero, t).isfinite().all()

    def test_shapes(self):
        with pytest.raises(ValueError, match=r'\(2, 3\) and \(2, 4\)'):
            factor_transfer_loss(draw(2, 3), draw(2, 4))
        with pytest.raises(ValueError, match='at least two axes'):
            factor_transfer_loss(draw(2), draw(2))

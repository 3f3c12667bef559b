"""The loss of PKD against loops and against a correlation."""

import math

import numpy as np
import pytest
import torch
from functional_toy import close, draw, gradient

from kd_det.functional import (
    pkd_loss,
)


class TestPKD:
    @staticmethod
    def oracle(student, teacher):
        losses = []
        for c in range(student.shape[1]):
            s = student[:, c].numpy().ravel()
            t = teacher[:, c].numpy().ravel()
            s = (s - s.mean()) / math.sqrt(((s - s.mean()) ** 2).mean())
            t = (t - t.mean()) / math.sqrt(((t - t.mean()) ** 2).mean())
            losses.append(((s - t) ** 2).mean() / 2)
        return sum(losses) / len(losses)

    def test_oracle(self):
        s, t = draw(2, 3, 4, 5) * 3 + 1, draw(2, 3, 4, 5, seed=1)
        close(pkd_loss(s, t), self.oracle(s, t))

    def test_is_one_minus_pearson(self):
        s, t = draw(2, 3, 4, 5), draw(2, 3, 4, 5, seed=1)
        r = [
            np.corrcoef(s[:, c].numpy().ravel(), t[:, c].numpy().ravel())[0, 1]
            for c in range(3)
        ]
        close(pkd_loss(s, t), 1 - np.mean(r))

    def test_affine_per_channel(self):
        s, t = draw(2, 3, 4, 5), draw(2, 3, 4, 5, seed=1)
        scale = torch.tensor([0.01, 2, 300]).double().view(3, 1, 1)
        shift = torch.tensor([-7.0, 0, 1000]).double().view(3, 1, 1)
        close(pkd_loss(s * scale + shift, t), pkd_loss(s, t), rtol=1e-10)
        close(pkd_loss(s, t * scale + shift), pkd_loss(s, t), rtol=1e-10)
        close(pkd_loss(s * scale + shift, s), 0)
        close(pkd_loss(-s * scale + shift, s), 2)

    @pytest.mark.parametrize('value', [0, 0.1, 1e3 / 3])
    def test_constant_channel(self, value):
        # The mean of 231 such entries is off by an ulp in float32, which
        # must not be taken for a feature.
        s, t = draw(3, 3, 7, 11).float(), draw(3, 3, 7, 11, seed=1).float()
        s[:, 1] = value
        grad = gradient(lambda x: pkd_loss(x, t), s)
        assert grad[:, 1].abs().max() == 0 and grad.abs().max() < 1
        others = pkd_loss(s[:, [0, 2]], t[:, [0, 2]])
        close(pkd_loss(s, t), (2 * others.double() + 0.5) / 3, rtol=1e-6)

    def test_far_offset(self):
        s, t = draw(2, 3, 4, 5), draw(2, 3, 4, 5, seed=1)
        close(
            pkd_loss((s + 4096).float(), t.float()), pkd_loss(s, t), rtol=1e-3
        )

    def test_one_entry(self):
        x = draw(1, 3, 1, 1).requires_grad_()
        loss = pkd_loss(x, draw(1, 3, 1, 1, seed=1))
        loss.backward()
        assert loss.item() == 0 and x.grad.abs().max() == 0

    def test_shapes(self):
        with pytest.raises(ValueError, match='teacher_feat.*H = 2.*H = 4'):
            pkd_loss(draw(2, 3, 4, 4), draw(2, 3, 2, 2))

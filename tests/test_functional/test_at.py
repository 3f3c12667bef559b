"""Attention transfer against loops."""

import math

import numpy as np
import pytest
import torch
from functional_toy import close, draw, gradient, pool

from kd_det.functional import (
    attention_transfer_loss,
)


class TestAttentionTransfer:
    @staticmethod
    def oracle(student, teacher):
        losses = []
        for s, t in zip(student.numpy(), teacher.numpy(), strict=True):
            height = min(s.shape[1], t.shape[1])
            width = min(s.shape[2], t.shape[2])
            maps = []
            for f in (pool(s, height, width), pool(t, height, width)):
                a = np.zeros(height * width)
                for c, h, w in np.ndindex(*f.shape):
                    a[h * width + w] += f[c, h, w] ** 2 / len(f)
                maps.append(a / math.sqrt(sum(a**2)))
            losses.append(sum((maps[0] - maps[1]) ** 2) / (height * width))
        return losses

    @pytest.mark.parametrize(
        'size', [(3, 4, 5), (6, 4, 5), (3, 8, 10), (3, 7, 3), (2, 2, 9)]
    )
    def test_oracle(self, size):
        s, t = draw(4, 3, 4, 5), draw(4, *size, seed=1)
        close(attention_transfer_loss(s, t), self.oracle(s, t))
        close(attention_transfer_loss(t, s), self.oracle(t, s))

    @pytest.mark.parametrize('scale', [1e-30, 1e-5, -1, 3, 1e15])
    def test_scale_and_sign(self, scale):
        # Too small for the square of a float32, and still a direction.
        s, t = draw(4, 3, 4, 5), draw(4, 3, 4, 5, seed=1)
        close(
            attention_transfer_loss(s, t * -3), attention_transfer_loss(s, t)
        )
        if abs(scale) > 1e-6:
            close(
                attention_transfer_loss(s * scale, t),
                attention_transfer_loss(s, t),
            )
            single = attention_transfer_loss((s * scale).float(), t.float())
            close(single, attention_transfer_loss(s, t), rtol=1e-5)
        else:
            zero = attention_transfer_loss(s * 0, t)
            close(attention_transfer_loss(s * scale, t), zero)

    def test_channel_permutation(self):
        s, t = draw(4, 3, 4, 5), draw(4, 3, 4, 5, seed=1)
        close(
            attention_transfer_loss(s[:, [2, 0, 1]], t),
            attention_transfer_loss(s, t),
        )

    def test_equal_maps_and_bound(self):
        s = draw(4, 3, 4, 5)
        assert torch.equal(
            attention_transfer_loss(s, s).abs(), torch.zeros(4).double()
        )
        # Disjoint supports reach the bound.
        s, t = torch.zeros(2, 3, 4, 5), torch.zeros(2, 3, 4, 5)
        s[:, :, 0, 0], t[:, :, 1, 1] = 1, 1
        close(attention_transfer_loss(s, t), [2 / 20] * 2, rtol=1e-6)

    def test_zero_student(self):
        t = draw(2, 3, 4, 5, seed=1)
        zero = torch.zeros(2, 3, 4, 5, dtype=torch.float64)
        close(attention_transfer_loss(zero, t), [1 / 20] * 2)
        grad = gradient(lambda s: attention_transfer_loss(s, t), zero)
        assert torch.equal(grad, zero)

    def test_gradcheck_pooled(self):
        assert torch.autograd.gradcheck(
            lambda s: attention_transfer_loss(s, draw(2, 4, 3, 2, seed=1)),
            draw(2, 3, 5, 4).requires_grad_(),
        )

    def test_shapes(self):
        with pytest.raises(ValueError, match='teacher_map.*N = 3.*N = 2'):
            attention_transfer_loss(draw(2, 3, 4, 4), draw(3, 3, 4, 4))
        with pytest.raises(ValueError, match='student_map must have shape'):
            attention_transfer_loss(draw(2, 3), draw(2, 3))

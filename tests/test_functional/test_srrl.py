"""The two losses of SRRL against loops."""

import math

import pytest
import torch
from functional_toy import close, draw, gradient
from torch.nn import functional as F

from kd_det.functional import (
    feature_matching_loss,
    softmax_regression_loss,
)


class TestFeatureMatching:
    def test_oracle(self):
        s, t = draw(5, 7), draw(5, 7, seed=1)
        expected = [
            sum((s[i, c].item() - t[i, c].item()) ** 2 for c in range(7)) / 7
            for i in range(5)
        ]
        close(feature_matching_loss(s, t), expected)

    def test_q1_sees_pooled_features_alone(self):
        s, t = draw(3, 4, 4, 6), draw(3, 4, 4, 6, seed=1)
        loss = feature_matching_loss(s.mean((2, 3)), t.mean((2, 3)))
        shuffled = s.flatten(2)[:, :, torch.randperm(24)].mean(2)
        larger = F.interpolate(t, scale_factor=2).mean((2, 3))
        close(feature_matching_loss(shuffled, larger), loss)
        close(loss.mean(), F.mse_loss(s.mean((2, 3)), t.mean((2, 3))))

    def test_shapes(self):
        with pytest.raises(ValueError, match='teacher_embed.*C = 6.*C = 7'):
            feature_matching_loss(draw(5, 7), draw(5, 6))
        with pytest.raises(ValueError, match=r'student_embed must have shape'):
            feature_matching_loss(draw(5, 7, 1, 1), draw(5, 7, 1, 1))


class TestSoftmaxRegression:
    def setup_method(self):
        # A classifier of 4 classes on 6 channels, and two embeddings.
        self.weight, self.bias = draw(4, 6, seed=2), draw(4, seed=3)
        self.h_s, self.h_t = draw(5, 6), draw(5, 6, seed=1)

    def logits(self, h, bias=True):
        return F.linear(h, self.weight, self.bias if bias else None)

    @pytest.mark.parametrize('mode', ['mse', 'ce', 'kl', 'bce'])
    def test_oracle(self, mode):
        s, t = draw(5, 4) * 2, draw(5, 4, seed=1) * 2
        expected = []
        for a, b in zip(s.numpy(), t.numpy(), strict=True):
            p = [math.exp(x) / sum(map(math.exp, a)) for x in a]
            q = [math.exp(x) / sum(map(math.exp, b)) for x in b]
            u, v = ([1 / (1 + math.exp(-x)) for x in y] for y in (a, b))
            expected.append(
                sum(
                    {
                        'mse': (a[k] - b[k]) ** 2 / 4,
                        'ce': -q[k] * math.log(p[k]),
                        'kl': q[k] * math.log(q[k] / p[k]),
                        'bce': -v[k] * math.log(u[k])
                        - (1 - v[k]) * math.log(1 - u[k]),
                    }[mode]
                    for k in range(4)
                )
            )
        close(softmax_regression_loss(s, t, mode), expected)

    def test_mse_is_the_default(self):
        s, t = draw(5, 4), draw(5, 4, seed=1)
        close(
            softmax_regression_loss(s, t),
            F.mse_loss(s, t, reduction='none').mean(1),
        )

    def test_q2_blind_to_the_null_space(self):
        # Two more channels than classes: a move along the null space of the
        # classifier cannot be seen.
        null = torch.linalg.svd(self.weight).Vh[4:]
        h = self.h_t + draw(5, 2) @ null
        assert feature_matching_loss(h, self.h_t).min() > 1e-3

        def loss(h):
            return softmax_regression_loss(
                self.logits(h), self.logits(self.h_t)
            )

        assert loss(h).max() < 1e-25
        assert gradient(loss, h).abs().max() < 1e-13

    def test_q3_gradient(self):
        actual = gradient(
            lambda h: softmax_regression_loss(
                self.logits(h), self.logits(self.h_t)
            ).mean(),
            self.h_s,
        )
        gap = self.h_s - self.h_t
        close(actual, 2 / (5 * 4) * gap @ self.weight.T @ self.weight)

    def test_q4_quadratic(self):
        far = self.h_t + 3 * (self.h_s - self.h_t)
        teacher = self.logits(self.h_t)
        near = softmax_regression_loss(self.logits(self.h_s), teacher)
        close(softmax_regression_loss(self.logits(far), teacher), 9 * near)

    def test_q5_bounded_by_feature_matching(self):
        loss = softmax_regression_loss(
            self.logits(self.h_s), self.logits(self.h_t)
        )
        largest = torch.linalg.matrix_norm(self.weight, 2)
        bound = feature_matching_loss(self.h_s, self.h_t) * largest**2 * 6 / 4
        assert (loss <= bound).all()

    def test_q6_bias_cancels(self):
        close(
            softmax_regression_loss(
                self.logits(self.h_s), self.logits(self.h_t)
            ),
            softmax_regression_loss(
                self.logits(self.h_s, False), self.logits(self.h_t, False)
            ),
        )

    def test_s2_shift_of_the_logits(self):
        s, t = draw(5, 4), draw(5, 4, seed=1)
        for mode in ('ce', 'kl'):
            close(
                softmax_regression_loss(s + 5, t, mode),
                softmax_regression_loss(s, t, mode),
            )
        gap = softmax_regression_loss(s + 5, t) - softmax_regression_loss(s, t)
        close(gap, 25 + 10 * (s - t).mean(1))
        # At equality kl is 0 and ce the entropy of the teacher.
        p = t.softmax(1)
        close(softmax_regression_loss(t, t, 'kl'), torch.zeros(5))
        close(softmax_regression_loss(t, t, 'ce'), -(p * p.log()).sum(1))

    @pytest.mark.parametrize('mode', ['mse', 'ce', 'kl', 'bce'])
    def test_gradcheck(self, mode):
        assert torch.autograd.gradcheck(
            lambda s: softmax_regression_loss(s, draw(3, 4, seed=1), mode),
            draw(3, 4).requires_grad_(),
        )

    @pytest.mark.parametrize('mode', ['ce', 'kl', 'bce'])
    def test_large_logits(self, mode):
        s = (draw(3, 4) * 1e4).float().requires_grad_()
        loss = softmax_regression_loss(
            s, draw(3, 4, seed=1).float() * 1e4, mode
        )
        loss.sum().backward()
        assert loss.isfinite().all() and s.grad.isfinite().all()

    def test_unknown_mode(self):
        with pytest.raises(
            ValueError, match="mode must be one of 'mse'.*'l2'"
        ):
            softmax_regression_loss(draw(2, 3), draw(2, 3), mode='l2')

    def test_shapes(self):
        with pytest.raises(ValueError, match='teacher_logits.*K = 5.*K = 4'):
            softmax_regression_loss(draw(2, 4), draw(2, 5))

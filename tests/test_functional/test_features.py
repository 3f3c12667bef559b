"""Base feature losses against loops written from their formulas."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from kd_det.functional import (
    attention_transfer_loss,
    factor_transfer_loss,
    feature_matching_loss,
    hcl_loss,
    pkd_loss,
    softmax_regression_loss,
)


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def close(actual, expected, **tolerance):
    expected = torch.as_tensor(expected, dtype=torch.float64)
    tolerance = {'rtol': 1e-12, 'atol': 1e-14, **tolerance}
    torch.testing.assert_close(actual.double(), expected, **tolerance)


def gradient(call, x):
    x = x.detach().clone().requires_grad_()
    call(x).sum().backward()
    return x.grad


def pool(feature_map, height, width):
    """Adaptive average pooling of one (C, H, W) array, window by window."""
    channels, rows, columns = feature_map.shape
    out = np.zeros((channels, height, width))
    for c, i, j in itertools.product(
        range(channels), range(height), range(width)
    ):
        top, bottom = i * rows // height, -(-(i + 1) * rows // height)
        left, right = j * columns // width, -(-(j + 1) * columns // width)
        out[c, i, j] = feature_map[c, top:bottom, left:right].mean()
    return out


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


class TestHCL:
    @staticmethod
    def oracle(students, teachers):
        total = np.zeros(len(students[0]))
        for level_s, level_t in zip(students, teachers, strict=True):
            for i, (s, t) in enumerate(
                zip(level_s.numpy(), level_t.numpy(), strict=True)
            ):
                numerator, denominator = ((s - t) ** 2).mean(), 1.0
                weights = iter((0.5, 0.25, 0.125))
                for side in (4, 2, 1):
                    if side < s.shape[1]:
                        w = next(weights)
                        gap = pool(s, side, side) - pool(t, side, side)
                        numerator += w * (gap**2).mean()
                        denominator += w
                total[i] += numerator / denominator
        return total

    # The last: a width below 4 is pooled up, for only the height counts.
    @pytest.mark.parametrize(
        'size',
        [(9, 7), (5, 5), (4, 4), (3, 6), (2, 2), (1, 1), (1, 5), (6, 3)],
    )
    def test_oracle(self, size):
        s, t = [draw(3, 2, *size)], [draw(3, 2, *size, seed=1)]
        close(hcl_loss(s, t), self.oracle(s, t))

    def test_levels_add_up(self):
        shapes = [(2, 8, 8), (3, 4, 4), (5, 1, 1)]
        s = [draw(3, *shape, seed=i) for i, shape in enumerate(shapes)]
        t = [draw(3, *shape, seed=9 + i) for i, shape in enumerate(shapes)]
        close(hcl_loss(s, t), self.oracle(s, t))
        alone = [hcl_loss([a], [b]) for a, b in zip(s, t, strict=True)]
        close(hcl_loss(tuple(s), tuple(t)), sum(alone))

    def test_h1_equal(self):
        s = [draw(2, 3, 8, 8), draw(2, 3, 2, 2)]
        close(hcl_loss(s, s), [0, 0])

    def test_h2_quadratic(self):
        s, t = [draw(2, 3, 8, 8)], [draw(2, 3, 8, 8, seed=1)]
        scaled = hcl_loss([3 * s[0]], [3 * t[0]])
        close(scaled, 9 * hcl_loss(s, t))

    @pytest.mark.parametrize('height', [1, 2, 3, 4, 5, 8])
    def test_h3_constant_gap(self, height):
        t = draw(2, 3, height, height)
        close(hcl_loss([t + 1.5], [t]), [2.25, 2.25])

    @pytest.mark.parametrize(
        ('height', 'total'), [(8, 1.875), (4, 1.75), (2, 1.5)]
    )
    def test_h4_h5_checkerboard(self, height, total):
        # +-1 cells: every pooled view is 0, only the full one is left.
        i = torch.arange(height)
        board = (1 - 2.0 * ((i[:, None] + i) % 2)).double()
        s = board.expand(1, 2, height, height)
        close(hcl_loss([s], [torch.zeros_like(s)]), [1 / total])

    def test_h6_symmetric(self):
        s, t = [draw(2, 3, 6, 6)], [draw(2, 3, 6, 6, seed=1)]
        close(hcl_loss(s, t), hcl_loss(t, s))

    def test_mean_is_the_loss_over_all_elements(self):
        s, t = draw(4, 3, 6, 6), draw(4, 3, 6, 6, seed=1)
        expected = F.mse_loss(s, t)
        for weight, side in ((0.5, 4), (0.25, 2), (0.125, 1)):
            pooled = [F.adaptive_avg_pool2d(x, side) for x in (s, t)]
            expected = expected + weight * F.mse_loss(*pooled)
        close(hcl_loss([s], [t]).mean(), expected / 1.875)

    def test_errors(self):
        x = draw(2, 3, 4, 4)
        with pytest.raises(TypeError, match='student_feats must be a list'):
            hcl_loss(x, x)
        with pytest.raises(ValueError, match='got 2 and 1'):
            hcl_loss([x, x], [x])
        with pytest.raises(ValueError, match='at least one'):
            hcl_loss([], [])
        with pytest.raises(ValueError, match=r'teacher_feats\[1\].*C1 = 2'):
            hcl_loss([x, x], [x, x[:, :2]])
        with pytest.raises(ValueError, match=r'student_feats\[1\].*N = 1'):
            hcl_loss([x, x[:1]], [x, x[:1]])


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

"""The norm and direction losses against loops, and the invariants N."""

import math

import numpy as np
import pytest
import torch

from kd_det.functional import (
    fdr_cosine_loss,
    fdr_infonce_loss,
    nd_loss,
    norm_loss,
    sifn_loss,
)

N, K, D = 8, 5, 6


def draw(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.fixture
def batch():
    s, t, c = draw(N, D, seed=0), draw(N, D, seed=1), draw(K, D, seed=2)
    return s, t, c, torch.tensor([4, 0, 2, 2, 1, 3, 0, 4])


def scaled(s, t, ratio):
    """Give each row of ``s`` ``ratio`` times the norm of that of ``t``."""
    return s / s.norm(dim=1, keepdim=True) * t.norm(dim=1)[:, None] * ratio


def length(v):
    return math.sqrt(sum(x * x for x in v))


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / (length(a) * length(b))


def rows(*tensors):
    return zip(*(tensor.tolist() for tensor in tensors), strict=True)


def naive_nd(s, t, c, labels):
    c, out = c.tolist(), []
    for a, b, y in rows(s, t, labels):
        unit = [x / length(c[y]) for x in c[y]]
        dot = sum(x * u for x, u in zip(a, unit, strict=True))
        out.append(1 - dot / max(length(a), length(b)))
    return out


def naive_infonce(s, c, labels, tau):
    c, out = c.tolist(), []
    for a, y in rows(s, labels):
        weights = [math.exp(cosine(a, row) / tau) for row in c]
        out.append(-math.log(weights[y] / sum(weights)))
    return out


def close(actual, expected, **kwargs):
    expected = torch.as_tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(actual, expected, **kwargs)


def gradient(loss, x):
    x = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(loss(x).sum(), x)
    return grad


def rotation(seed=5):
    return torch.linalg.qr(draw(D, D, seed=seed))[0]


class TestND:
    @pytest.mark.parametrize('ratio', [0.3, 1.0, 3.0])
    def test_oracle(self, batch, ratio):
        s, t, c, y = batch
        close(nd_loss(s * ratio, t, c, y), naive_nd(s * ratio, t, c, y))

    def test_n1_range(self, batch):
        s, t, c, y = batch
        for ratio in (0.1, 1.0, 10.0):
            loss = nd_loss(s * ratio, t, c, y)
            assert (loss >= 0).all() and (loss <= 2).all()

    def test_n2_parallel_and_long(self, batch):
        _, t, c, y = batch
        close(nd_loss(scaled(c[y], t, 1.5), t, c, y), np.zeros(N))

    def test_n3_parallel_and_short(self, batch):
        _, t, c, y = batch
        loss = nd_loss(scaled(c[y], t, 0.25), t, c, y)
        close(loss, np.full(N, 0.75))

    @pytest.mark.parametrize('ratio', [0.2, 4.0])
    def test_n4_orthogonal(self, batch, ratio):
        s, t, c, y = batch
        unit = c[y] / c[y].norm(dim=1, keepdim=True)
        s = s - (s * unit).sum(1, keepdim=True) * unit
        close(nd_loss(scaled(s, t, ratio), t, c, y), np.ones(N))

    def test_n5_anti_parallel(self, batch):
        _, t, c, y = batch
        close(nd_loss(scaled(-c[y], t, 2.0), t, c, y), np.full(N, 2.0))

    def test_n6_scale_and_sign_of_centroids(self, batch):
        s, t, c, y = batch
        loss = nd_loss(s, t, c, y)
        close(nd_loss(s, t, 7 * c, y), loss)
        close(nd_loss(s, t, 1e-9 * c, y), loss)
        close(nd_loss(s, t, -c, y), 2 - loss)

    def test_n7_teacher_direction_is_irrelevant(self, batch):
        s, t, c, y = batch
        close(nd_loss(s, t @ rotation(), c, y), nd_loss(s, t, c, y))

    def test_n8_common_scale(self, batch):
        s, t, c, y = batch
        close(nd_loss(9 * s, 9 * t, c, y), nd_loss(s, t, c, y))

    def test_n9_above_the_teacher_only_direction_counts(self, batch):
        s, t, c, y = batch
        s = scaled(s, t, 1.1)
        close(nd_loss(3 * s, t, c, y), nd_loss(s, t, c, y))
        grad = gradient(lambda x: nd_loss(x, t, c, y), s)
        close((grad * s).sum(1), np.zeros(N), atol=1e-12, rtol=0)
        assert (grad.norm(dim=1) > 1e-3).all()

    def test_n10_below_the_teacher_gradient_is_constant(self, batch):
        s, t, c, y = batch
        s = scaled(s, t, 0.9)
        grad = gradient(lambda x: nd_loss(x, t, c, y).mean() * 1.5, s)
        unit = c[y] / c[y].norm(dim=1, keepdim=True)
        close(grad, -1.5 * unit / (N * t.norm(dim=1, keepdim=True)))

    def test_n11_common_rotation(self, batch):
        s, t, c, y = batch
        q = rotation()
        close(nd_loss(s @ q, t @ q, c @ q, y), nd_loss(s, t, c, y))

    def test_n13_direction_times_norm_ratio(self, batch):
        s, t, c, y = batch
        ratio = (s.norm(dim=1) / t.norm(dim=1)).clamp(max=1)
        cos = torch.cosine_similarity(s, c[y])
        assert (ratio < 1).any() and (ratio == 1).any()
        close(nd_loss(s, t, c, y), 1 - ratio * cos)

    def test_n14_doubling_below_the_teacher(self, batch):
        s, t, c, y = batch
        s = scaled(s, t, 0.4)
        change = nd_loss(2 * s, t, c, y) - nd_loss(s, t, c, y)
        close(change, -0.4 * torch.cosine_similarity(s, c[y]))

    def test_n15_rounded_centroids(self, batch):
        s, t, c, y = batch
        change = nd_loss(s, t, c.mul(1e4).round().div(1e4), y)
        change = (change - nd_loss(s, t, c, y)).abs()
        bound = 2 * math.sqrt(D) * 5e-5 / c[y].norm(dim=1)
        assert (change > 0).any() and (change <= bound).all()

    def test_n16_tie_takes_the_student_branch(self):
        # |s| = |t| = 5; c along the first axis, cos = 0.6
        s = torch.tensor([[3.0, 4.0]]).double()
        t = torch.tensor([[0.0, 5.0]]).double()
        c = torch.tensor([[2.0, 0.0]]).double()
        y = torch.tensor([0])
        grad = gradient(lambda x: nd_loss(x, t, c, y), s)
        # -(e - cos * s / |s|) / |s| = -((1, 0) - 0.6 * (0.6, 0.8)) / 5
        close(grad, [[-0.128, 0.096]])
        close((grad * s).sum(1), [0.0])

    def test_both_norms_zero(self, batch):
        _, _, c, y = batch
        zero = torch.zeros(N, D).double()
        close(nd_loss(zero, zero, c, y), np.ones(N))
        grad = gradient(lambda x: nd_loss(x, zero, c, y), zero)
        assert torch.equal(grad, zero)

    def test_zero_student_is_pulled_to_the_centroid(self, batch):
        _, t, c, y = batch
        zero = torch.zeros(N, D).double()
        close(nd_loss(zero, t, c, y), np.ones(N))
        grad = gradient(lambda x: nd_loss(x, t, c, y), zero)
        unit = c[y] / c[y].norm(dim=1, keepdim=True)
        close(grad, -unit / t.norm(dim=1, keepdim=True))

    def test_vanishing_norms_stay_bounded(self, batch):
        s, t, c, y = batch
        for size in (1e-300, 1e-30, 1e-12, 1e-5):
            grad = gradient(
                lambda x, size=size: nd_loss(x, size * t, c, y), size * s
            )
            assert grad.abs().max() < 1e6

    def test_nan_teacher_shows(self, batch):
        s, t, c, y = batch
        t[0, 0] = torch.nan
        assert nd_loss(s, t, c, y).isnan().tolist() == [True] + [False] * 7

    @pytest.mark.parametrize('dtype', [torch.uint8, torch.int32])
    def test_labels_of_any_integer_dtype(self, batch, dtype):
        s, t, c, y = batch
        assert torch.equal(nd_loss(s, t, c, y.to(dtype)), nd_loss(s, t, c, y))


class TestNorms:
    def test_norm_oracle(self, batch):
        s, t, _, _ = batch
        expected = [(length(a) - length(b)) ** 2 for a, b in rows(s, t)]
        close(norm_loss(s, t), expected)

    def test_norm_is_blind_to_direction(self, batch):
        s, t, _, _ = batch
        close(norm_loss(s @ rotation(), t @ rotation(6)), norm_loss(s, t))
        close(norm_loss(scaled(s, t, 1.0), t), np.zeros(N))

    def test_sifn_oracle(self, batch):
        s, t, _, _ = batch
        previous = t.norm(dim=1)
        expected = [(length(a) - (n + 0.5)) ** 2 for a, n in rows(s, previous)]
        close(sifn_loss(s, previous, 0.5), expected)

    def test_n17_sifn_gradient_at_the_previous_state(self, batch):
        s, _, _, _ = batch
        grad = gradient(
            lambda x: sifn_loss(x, x.norm(dim=1), step=0.3).mean(), s
        )
        close(grad, -2 * 0.3 / N * s / s.norm(dim=1, keepdim=True))

    def test_zero_student(self):
        zero, t = torch.zeros(2, D), torch.ones(2, D)
        for loss in (
            lambda x: norm_loss(x, t),
            lambda x: sifn_loss(x, torch.ones(2), 1.0),
        ):
            assert torch.equal(gradient(loss, zero), zero)


class TestFDR:
    def test_cosine_oracle(self, batch):
        s, _, c, y = batch
        expected = [
            1 - cosine(a, c[label].tolist()) for a, label in rows(s, y)
        ]
        close(fdr_cosine_loss(s, c, y), expected)

    def test_cosine_is_nd_above_the_teacher(self, batch):
        s, t, c, y = batch
        s = scaled(s, t, 2.0)
        close(fdr_cosine_loss(s, c, y), nd_loss(s, t, c, y))

    @pytest.mark.parametrize('tau', [0.1, 1.0])
    def test_n18_infonce_oracle(self, batch, tau):
        s, _, c, y = batch
        close(fdr_infonce_loss(s, c, y, tau), naive_infonce(s, c, y, tau))

    def test_scales_do_not_matter(self, batch):
        s, _, c, y = batch
        close(fdr_cosine_loss(3 * s, 5 * c, y), fdr_cosine_loss(s, c, y))
        close(
            fdr_infonce_loss(3 * s, 1e-9 * c, y, 0.2),
            fdr_infonce_loss(s, c, y, 0.2),
        )

    def test_zero_student(self, batch):
        _, _, c, y = batch
        zero = torch.zeros(N, D).double()
        close(fdr_cosine_loss(zero, c, y), np.ones(N))
        close(fdr_infonce_loss(zero, c, y, 0.1), np.full(N, math.log(K)))
        for loss in (
            lambda x: fdr_cosine_loss(x, c, y),
            lambda x: fdr_infonce_loss(x, c, y, 0.1),
        ):
            assert torch.equal(gradient(loss, zero), zero)

    def test_infonce_counts_an_unused_zero_centroid_as_cosine_zero(self):
        c = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
        s = torch.tensor([[2.0, 0.0]])
        loss = fdr_infonce_loss(s, c, torch.tensor([0]), tau=1.0)
        assert loss.item() == pytest.approx(math.log(1 + math.exp(-1)))


class TestErrors:
    LOSSES = [
        lambda s, c, y: nd_loss(s, s, c, y),
        fdr_cosine_loss,
        lambda s, c, y: fdr_infonce_loss(s, c, y, 0.1),
    ]

    @pytest.mark.parametrize('loss', LOSSES)
    def test_needed_zero_centroid(self, batch, loss):
        s, _, c, y = batch
        c[[2, 4]] = 0
        with pytest.raises(ValueError, match='classes 2, 4 are zero'):
            loss(s, c, y)
        keep = (y != 2) & (y != 4)
        assert loss(s[keep], c, y[keep]).isfinite().all()

    @pytest.mark.parametrize('loss', LOSSES)
    def test_shapes_and_labels(self, batch, loss):
        s, _, c, y = batch
        with pytest.raises(ValueError, match='centroids.*D = 5'):
            loss(s, c[:, :5], y)
        with pytest.raises(ValueError, match='labels'):
            loss(s, c, y[:3])
        with pytest.raises(ValueError, match=r'\[0, 4\), got 4'):
            loss(s, c[:4], y)
        with pytest.raises(ValueError, match='integer dtype'):
            loss(s, c, y.double())

    @pytest.mark.parametrize(
        'loss',
        [
            norm_loss,
            lambda s, t: nd_loss(
                s, t, torch.ones(2, 4), torch.zeros(3).long()
            ),
        ],
    )
    def test_teacher_shape(self, loss):
        with pytest.raises(ValueError, match='teacher_embed'):
            loss(torch.ones(3, 4), torch.ones(3, 5))
        with pytest.raises(ValueError, match='teacher_embed'):
            loss(torch.ones(3, 4), torch.ones(2, 4))

    def test_previous_norms_shape(self):
        with pytest.raises(ValueError, match='previous_norms'):
            sifn_loss(torch.ones(3, 4), torch.ones(3, 1), 0.1)

    def test_infonce_tau(self, batch):
        s, _, c, y = batch
        with pytest.raises(ValueError, match='tau'):
            fdr_infonce_loss(s, c, y, -1.0)

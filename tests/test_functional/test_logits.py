"""KD, DKD, NKD and DIST against loops, and the invariants K, D, NK, DI."""

import math

import numpy as np
import pytest
import torch

from kd_det.functional import dist_loss, dkd_loss, kd_loss, nkd_loss

N, K = 7, 5


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    s, t = torch.randn(2, N, K, generator=generator, dtype=torch.float64) * 2
    return s, t, torch.tensor([4, 0, 2, 2, 1, 3, 0])


def softmax(z):
    e = [math.exp(v) for v in z]
    return [v / sum(e) for v in e]


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def naive_kd(s, t, tau):
    return [
        tau**2 * kl(softmax(b / tau), softmax(a / tau))
        for a, b in zip(s.numpy(), t.numpy(), strict=True)
    ]


def without(row, y):
    return np.delete(row, y)


def naive_tckd(s, t, labels, tau):
    out = []
    for a, b, y in zip(s.numpy(), t.numpy(), labels, strict=True):
        p, q = softmax(a / tau)[y], softmax(b / tau)[y]
        out.append(tau**2 * kl([q, 1 - q], [p, 1 - p]))
    return out


def naive_nckd(s, t, labels, tau):
    return [
        tau**2 * kl(softmax(without(b, y) / tau), softmax(without(a, y) / tau))
        for a, b, y in zip(s.numpy(), t.numpy(), labels, strict=True)
    ]


def naive_nkd(s, t, labels, gamma, tau, mask):
    out = []
    for a, b, y in zip(s.numpy(), t.numpy(), labels.tolist(), strict=True):
        first = -softmax(b)[y] * math.log(softmax(a)[y])
        if mask:
            a, b = without(a, y), without(b, y)
        q_t, q_s = softmax(b / tau), softmax(a / tau)
        cross = -sum(u * math.log(v) for u, v in zip(q_t, q_s, strict=True))
        out.append(first + gamma * tau**2 * cross)
    return out


def pearson(a, b):
    a, b = a - a.mean(), b - b.mean()
    return (a * b).sum() / (math.sqrt((a * a).sum() * (b * b).sum()) + 1e-8)


def naive_dist(s, t, beta, gamma, tau):
    p_s = np.array([softmax(row / tau) for row in s.numpy()])
    p_t = np.array([softmax(row / tau) for row in t.numpy()])
    n, k = p_s.shape
    inter = 1 - sum(pearson(p_s[i], p_t[i]) for i in range(n)) / n
    intra = 1 - sum(pearson(p_s[:, j], p_t[:, j]) for j in range(k)) / k
    return tau**2 * (beta * inter + gamma * intra)


def close(actual, expected, **kwargs):
    expected = torch.as_tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(actual, expected, **kwargs)


def gradient(loss, x):
    x = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(loss(x).sum(), x)
    return grad


class TestKD:
    @pytest.mark.parametrize('tau', [1.0, 4.0])
    def test_oracle(self, batch, tau):
        s, t, _ = batch
        close(kd_loss(s, t, tau), naive_kd(s, t, tau))

    def test_k1_equal_logits(self, batch):
        s, _, _ = batch
        assert torch.equal(kd_loss(s, s.clone(), 3.0), torch.zeros(N).double())

    def test_k2_row_shifts(self, batch):
        s, t, _ = batch
        shift = torch.arange(N)[:, None]
        close(kd_loss(s + shift, t - 3 * shift), kd_loss(s, t))

    def test_k3_temperature(self, batch):
        s, t, _ = batch
        close(kd_loss(s, t, 3.0), 9 * kd_loss(s / 3, t / 3, 1.0))

    def test_k4_gradient(self, batch):
        s, t, _ = batch
        grad = gradient(lambda x: kd_loss(x, t, 2.0).mean(), s)
        expected = 2 / N * ((s / 2).softmax(1) - (t / 2).softmax(1))
        close(grad, expected)

    def test_k5_high_temperature(self, batch):
        s, t, _ = batch
        gap = s - t
        gap = gap - gap.mean(1, keepdim=True)
        expected = gap.square().sum(1) / (2 * K)
        close(kd_loss(s, t, 1e4), expected, rtol=1e-3, atol=1e-6)

    def test_k6_class_permutation(self, batch):
        s, t, _ = batch
        order = torch.tensor([3, 1, 4, 0, 2])
        close(kd_loss(s[:, order], t[:, order]), kd_loss(s, t))

    def test_standardised_oracle(self, batch):
        s, t = (
            torch.tensor(
                np.array([(row - row.mean()) / row.std() for row in z])
            )
            for z in (side.numpy() for side in batch[:2])
        )
        close(kd_loss(*batch[:2], 2.0, True), naive_kd(s, t, 2.0))

    def test_standardised_logits_have_no_range(self, batch):
        s, t = batch[:2]
        close(
            kd_loss(7 * s + 3, 0.1 * t - 2, 2.0, True),
            kd_loss(s, t, 2.0, True),
        )
        assert kd_loss(5 * t, t, 2.0, True).abs().max() < 1e-12
        flat = torch.ones_like(s)
        grad = gradient(lambda x: kd_loss(x, t, 2.0, True), flat)
        assert not grad.any()

    def test_hand_value(self):
        # teacher (3/4, 1/4), student (1/2, 1/2)
        t = torch.tensor([[math.log(3.0), 0.0]])
        expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
        assert kd_loss(torch.zeros(1, 2), t).item() == pytest.approx(expected)

    def test_saturated(self):
        s = torch.tensor([[1e4, -1e4]], requires_grad=True)
        loss = kd_loss(s, torch.tensor([[-1e4, 1e4]]))
        assert loss.item() == 2e4
        loss.sum().backward()
        assert s.grad.tolist() == [[1, -1]]


class TestDKD:
    @pytest.mark.parametrize(
        ('alpha', 'beta', 'tau'), [(1.0, 8.0, 4.0), (0.5, 0.25, 1.0)]
    )
    def test_oracle(self, batch, alpha, beta, tau):
        tckd = np.array(naive_tckd(*batch, tau))
        nckd = np.array(naive_nckd(*batch, tau))
        close(dkd_loss(*batch, alpha, beta, tau), alpha * tckd + beta * nckd)

    def test_defaults(self, batch):
        assert torch.equal(dkd_loss(*batch), dkd_loss(*batch, 1.0, 8.0, 4.0))

    def test_d1_is_kd_with_beta_one_minus_p(self, batch):
        s, t, y = batch
        p = (t / 3).softmax(1)[torch.arange(N), y]
        loss = torch.stack(
            [
                dkd_loss(
                    s[[i]], t[[i]], y[[i]], 1.0, 1 - p[i].item(), 3.0
                ).squeeze()
                for i in range(N)
            ]
        )
        close(loss, kd_loss(s, t, 3.0))

    def test_d2_equal_logits_and_shifts(self, batch):
        s, t, y = batch
        close(dkd_loss(s, s.clone(), y), np.zeros(N))
        shift = torch.arange(N)[:, None]
        close(dkd_loss(s + shift, t - shift, y), dkd_loss(s, t, y))

    def test_d3_non_target_term_ignores_target_logits(self, batch):
        s, t, y = batch
        moved_s, moved_t = s.clone(), t.clone()
        moved_s[torch.arange(N), y] += 50
        moved_t[torch.arange(N), y] -= 2
        loss = dkd_loss(moved_s, moved_t, y, alpha=0)
        close(loss, dkd_loss(s, t, y, alpha=0))
        grad = gradient(lambda x: dkd_loss(x, t, y, alpha=0), s)
        assert torch.equal(grad[torch.arange(N), y], torch.zeros(N).double())

    def test_d3_huge_target_keeps_the_precision_of_the_rest(self):
        s = torch.tensor([[1e4, 0.1, 0.2]])
        t = torch.tensor([[1e4, 0.3, 0.1]])
        y = torch.tensor([0])
        close(
            dkd_loss(s, t, y, 1.0, 1.0, 1.0).double(),
            [kl(softmax([0.3, 0.1]), softmax([0.1, 0.2]))],
            rtol=1e-4,
            atol=0,
        )

    def test_d4_target_term_is_binary_kl(self, batch):
        loss = dkd_loss(*batch, alpha=1.0, beta=0.0, tau=2.0)
        close(loss, naive_tckd(*batch, 2.0))

    def test_d5_two_classes_have_no_non_target_term(self, batch):
        s, t, y = batch
        s, t, y = s[:, :2], t[:, :2], y % 2
        loss = dkd_loss(s, t, y, alpha=0.0, beta=8.0)
        assert torch.equal(loss, torch.zeros(N).double())
        grad = gradient(lambda x: dkd_loss(x, t, y, alpha=0.0), s)
        assert torch.equal(grad, torch.zeros(N, 2).double())

    def test_d6_linear_in_alpha_and_beta(self, batch):
        tckd, nckd = dkd_loss(*batch, 1, 0), dkd_loss(*batch, 0, 1)
        close(dkd_loss(*batch, 0.7, 3.0), 0.7 * tckd + 3 * nckd)

    def test_d7_joint_relabelling(self, batch):
        s, t, y = batch
        order = torch.tensor([3, 1, 4, 0, 2])
        relabelled = order.argsort()[y]
        loss = dkd_loss(s[:, order], t[:, order], relabelled)
        close(loss, dkd_loss(s, t, y))

    @pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
    def test_saturated_logits_are_finite(self, dtype):
        rows = torch.tensor(
            [[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0], [0.0, 1e4, -1e4]]
        ).to(dtype)
        for shift in range(3):
            s = rows.clone().requires_grad_()
            t = rows.roll(shift, 0)
            for label in range(3):
                loss = dkd_loss(s, t, torch.full((3,), label), tau=1.0)
                assert loss.isfinite().all()
                assert (loss >= 0).all()
                (grad,) = torch.autograd.grad(loss.sum(), s)
                assert grad.isfinite().all()

    def test_one_class(self):
        with pytest.raises(ValueError, match='K >= 2'):
            dkd_loss(
                torch.zeros(3, 1), torch.zeros(3, 1), torch.zeros(3).long()
            )


class TestNKD:
    @pytest.mark.parametrize('mask', [True, False])
    @pytest.mark.parametrize(('gamma', 'tau'), [(1.5, 1.0), (8.0, 4.0)])
    def test_oracle(self, batch, gamma, tau, mask):
        loss = nkd_loss(*batch, gamma, tau, mask_target=mask)
        close(loss, naive_nkd(*batch, gamma, tau, mask))

    def test_defaults(self, batch):
        close(nkd_loss(*batch), naive_nkd(*batch, 1.5, 1.0, True))

    def test_nk1_equal_logits_are_not_zero(self, batch):
        s, _, y = batch
        rows = torch.arange(N)
        p = s.softmax(1)[rows, y]
        entropy = torch.stack(
            [
                torch.distributions.Categorical(
                    logits=torch.from_numpy(without(s[i].numpy(), y[i])) / 2
                ).entropy()
                for i in range(N)
            ]
        )
        loss = nkd_loss(s, s.clone(), y, gamma=1.5, tau=2.0)
        close(loss, -p * p.log() + 1.5 * 4 * entropy)
        assert (loss > 0.1).all()

    def test_nk2_masked_gradient_is_that_of_nckd(self, batch):
        s, t, y = batch
        first = gradient(lambda x: nkd_loss(x, t, y, gamma=0.0), s)
        grad = gradient(lambda x: nkd_loss(x, t, y, 1.5, 3.0), s) - first
        nckd = gradient(lambda x: dkd_loss(x, t, y, 0.0, 1.5, 3.0), s)
        close(grad, nckd)

    def test_nk3_first_term_is_weighted_cross_entropy(self, batch):
        s, t, y = batch
        p_t = t.softmax(1)[torch.arange(N), y]
        cross = torch.nn.functional.cross_entropy(s, y, reduction='none')
        close(nkd_loss(s, t, y, gamma=0.0, tau=4.0), p_t * cross)

    def test_nk4_published_gradient_is_that_of_kd(self, batch):
        s, t, y = batch
        first = gradient(lambda x: nkd_loss(x, t, y, gamma=0.0), s)
        grad = gradient(lambda x: nkd_loss(x, t, y, 1.5, 3.0, False), s)
        close(grad - first, 1.5 * gradient(lambda x: kd_loss(x, t, 3.0), s))

    def test_nk5_masked_term_ignores_target_logits(self, batch):
        s, t, y = batch
        first = nkd_loss(s, t, y, gamma=0.0)
        moved_s, moved_t = s.clone(), t.clone()
        moved_s[torch.arange(N), y] += 5
        moved_t[torch.arange(N), y] -= 2
        moved = nkd_loss(moved_s, moved_t, y)
        moved_first = nkd_loss(moved_s, moved_t, y, gamma=0.0)
        close(moved - moved_first, nkd_loss(s, t, y) - first)

    def test_one_class_is_fine_only_unmasked(self):
        z, y = torch.zeros(3, 1), torch.zeros(3).long()
        assert nkd_loss(z, z, y, mask_target=False).tolist() == [0, 0, 0]
        with pytest.raises(ValueError, match='K >= 2'):
            nkd_loss(z, z, y)

    def test_saturated_logits_are_finite(self):
        s = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
        for label in range(3):
            loss = nkd_loss(s, s.detach().roll(1, 1), torch.tensor([label]))
            (grad,) = torch.autograd.grad(loss.sum(), s)
            assert loss.isfinite().all() and grad.isfinite().all()


class TestDIST:
    @pytest.mark.parametrize(
        ('beta', 'gamma', 'tau'), [(1.0, 1.0, 1.0), (2.0, 0.5, 4.0)]
    )
    def test_oracle(self, batch, beta, gamma, tau):
        s, t, _ = batch
        loss = dist_loss(s, t, beta, gamma, tau)
        close(loss, naive_dist(s, t, beta, gamma, tau))

    def test_di1_equal_logits(self, batch):
        s, _, _ = batch
        assert 0 <= dist_loss(s, s.clone()).item() <= 1e-4

    def test_di2_row_shifts(self, batch):
        s, t, _ = batch
        shift = torch.arange(N)[:, None]
        close(dist_loss(s + shift, t - shift), dist_loss(s, t))

    def test_di3_one_sample(self, batch):
        s, t, _ = batch
        loss = dist_loss(s[:1], t[:1], beta=0.0, gamma=1.5, tau=2.0)
        assert loss.item() == 1.5 * 4
        s = s[:1].clone().requires_grad_()
        dist_loss(s, t[:1]).backward()
        assert s.grad.isfinite().all()

    def test_di4_range(self, batch):
        s, t, _ = batch
        for teacher in (t, -s * 5, s):
            loss = dist_loss(s, teacher, 2.0, 0.5, 3.0)
            assert 0 <= loss.item() <= 2 * 9 * 2.5

    def test_order_of_samples_and_classes(self, batch):
        s, t, _ = batch
        rows, columns = torch.randperm(N), torch.randperm(K)
        moved = dist_loss(s[rows][:, columns], t[rows][:, columns])
        close(moved, dist_loss(s, t))

    @pytest.mark.parametrize('k', [3, 7, 80])
    @pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
    def test_uniform_student_has_a_bounded_gradient(self, k, dtype):
        # A classifier that starts at zero: nothing to correlate.
        generator = torch.Generator().manual_seed(1)
        t = torch.randn(N, k, generator=generator).to(dtype) * 3
        s = torch.full((N, k), 0.3, dtype=dtype, requires_grad=True)
        loss = dist_loss(s, t)
        assert loss.item() == 2
        loss.backward()
        assert s.grad.abs().max() < 10

    def test_rare_classes_still_count(self):
        # A class of tiny probability that varies is no constant column.
        s = torch.tensor([[0.0, -5.0], [0.0, -7.0], [0.0, -6.0]]).double()
        loss = dist_loss(s, s.clone(), beta=0.0)
        assert loss.item() < 1e-2


class TestErrors:
    @pytest.mark.parametrize('loss', [kd_loss, dist_loss])
    def test_shapes(self, loss):
        with pytest.raises(ValueError, match='teacher_logits.*K = 4'):
            loss(torch.zeros(3, 5), torch.zeros(3, 4))
        with pytest.raises(ValueError, match='student_logits must have shape'):
            loss(torch.zeros(5), torch.zeros(5))

    @pytest.mark.parametrize('loss', [dkd_loss, nkd_loss])
    def test_labels(self, loss):
        z = torch.zeros(3, 5)
        with pytest.raises(ValueError, match='labels'):
            loss(z, z, torch.zeros(2).long())
        with pytest.raises(ValueError, match=r'\[0, 5\), got 5'):
            loss(z, z, torch.tensor([0, 5, 1]))
        with pytest.raises(ValueError, match='got -1'):
            loss(z, z, torch.tensor([0, -1, 1]))

    @pytest.mark.parametrize('loss', [kd_loss, dist_loss])
    def test_tau(self, loss):
        with pytest.raises(ValueError, match='tau'):
            loss(torch.zeros(3, 5), torch.zeros(3, 5), tau=0.0)

"""RKD against explicit loops, and the numerical traps of the published one."""

import math

import numpy as np
import pytest
import torch
from functional_toy import draw

from kd_det.functional import rkd, rkd_angle_loss, rkd_distance_loss

LOSSES = [rkd_distance_loss, rkd_angle_loss]
both = pytest.mark.parametrize('loss', LOSSES)
N = 9


def close(actual, expected, **tolerance):
    expected = torch.as_tensor(expected, dtype=torch.float64)
    tolerance = {'rtol': 1e-11, 'atol': 1e-14, **tolerance}
    torch.testing.assert_close(actual.double(), expected, **tolerance)


def gradient(loss, student, teacher):
    student = student.detach().clone().requires_grad_()
    loss(student, teacher).backward()
    return student.grad


def huber(d):
    return 0.5 * d * d if abs(d) <= 1 else abs(d) - 0.5


def ratios(x):
    """Distances over their mean; 1e-6 for duplicates, as published."""
    n = len(x)
    d = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if i != j:
                squared = sum(
                    (a - b) ** 2 for a, b in zip(x[i], x[j], strict=True)
                )
                d[i, j] = math.sqrt(max(squared, 1e-12))
    return d / (d.sum() / (n * (n - 1)))


def cosines(x):
    """Cosine at vertex i between the ways to j and k, from differences."""
    n = len(x)
    a = np.zeros((n, n, n))
    for i in range(n):
        unit = [
            (x[j] - x[i]) / max(np.linalg.norm(x[j] - x[i]), 1e-12)
            for j in range(n)
        ]
        for j in range(n):
            for k in range(n):
                a[i, j, k] = unit[j] @ unit[k]
    return a


def oracle(loss, student, teacher):
    relate = ratios if loss is rkd_distance_loss else cosines
    gaps = relate(student.numpy()) - relate(teacher.numpy())
    return sum(huber(gap) for gap in gaps.ravel()) / gaps.size


def explicit_angle_loss(student, teacher):
    """The angle loss with an (N, N, D) tensor, for values and gradients."""

    def angles(x):
        difference = x[None] - x[:, None]
        eye = torch.eye(len(x), dtype=torch.bool)[..., None]
        unit = difference / difference.masked_fill(eye, 1).norm(
            dim=2, keepdim=True
        )
        return unit @ unit.transpose(1, 2)

    return torch.nn.functional.smooth_l1_loss(angles(student), angles(teacher))


class TestOracle:
    @both
    @pytest.mark.parametrize(
        ('n', 'student_width', 'teacher_width'),
        [(3, 2, 2), (5, 1, 4), (9, 7, 7), (12, 4, 9)],
    )
    def test_value(self, loss, n, student_width, teacher_width):
        # The factor gives gaps beyond 1, the linear part of Huber's loss.
        s = draw(n, student_width) * torch.logspace(-1, 1, n)[:, None]
        t = draw(n, teacher_width, seed=1)
        close(loss(s, t), oracle(loss, s, t))

    @both
    def test_duplicates_have_the_published_value(self, loss):
        s, t = draw(N, 7), draw(N, 5, seed=1)
        s[4] = s[1]
        t[6] = t[2]
        # Published duplicates are 1e-6 apart, not 0.
        close(loss(s, t), oracle(loss, s, t), rtol=1e-6)

    @both
    @pytest.mark.parametrize('apart', [1e-1, 1e-2, 1e-3, 1e-4])
    def test_close_pairs_have_the_published_value(self, loss, apart):
        s, t = draw(N, 7), draw(N, 5, seed=1)
        s[4] = s[1] + apart * draw(7, seed=2)
        close(loss(s, t), oracle(loss, s, t), rtol=1e-9)

    @pytest.mark.parametrize('at_once', [1, 200, 10_000])
    def test_chunks_do_not_show(self, monkeypatch, at_once):
        # 1, 2 and all 9 of the vertices at a time.
        s, t = draw(N, 7), draw(N, 5, seed=1)
        expected = gradient(explicit_angle_loss, s, t)
        monkeypatch.setattr(rkd, 'ANGLES_AT_ONCE', at_once)
        close(rkd_angle_loss(s, t), explicit_angle_loss(s, t))
        close(gradient(rkd_angle_loss, s, t), expected)

    def test_r10_gradient_of_the_explicit_form(self):
        s, t = draw(30, 16), draw(30, 8, seed=1)
        close(rkd_angle_loss(s, t), explicit_angle_loss(s, t))
        close(
            gradient(rkd_angle_loss, s, t),
            gradient(explicit_angle_loss, s, t),
        )

    @both
    def test_gradcheck(self, loss):
        s = (draw(6, 3) * torch.logspace(-1, 1, 6)[:, None]).requires_grad_()
        assert torch.autograd.gradcheck(
            lambda x: loss(x, draw(6, 4, seed=1)), s
        )

    def test_mean_distance_has_a_gradient(self):
        # R5: with mu detached the gradient would have a radial part.
        s, t = draw(N, 7), draw(N, 7, seed=1)

        def detached(x, y):
            ratio = (
                torch.cdist(x, x)
                / torch.cdist(x, x).detach().sum()
                * N
                * (N - 1)
            )
            other = torch.cdist(y, y) / torch.cdist(y, y).sum() * N * (N - 1)
            return torch.nn.functional.smooth_l1_loss(ratio, other)

        close(detached(s, t), rkd_distance_loss(s, t))
        assert abs((gradient(detached, s, t) * s).sum()) > 1e-3
        assert abs((gradient(rkd_distance_loss, s, t) * s).sum()) < 1e-14


class TestInvariants:
    @both
    @pytest.mark.parametrize('scale', [1e-20, 1e-6, 0.1, 100, 1e20])
    def test_r1_scale(self, loss, scale):
        s, t = draw(N, 7), draw(N, 5, seed=1)
        close(loss(scale * s, t), loss(s, t))
        close(loss(s, scale * t), loss(s, t))
        close(loss((scale * s).float(), t.float()), loss(s, t), rtol=1e-5)

    @both
    def test_r2_similarity_transform(self, loss):
        s, t = draw(N, 7), draw(N, 5, seed=1)
        rotation = torch.linalg.qr(draw(7, 7, seed=2)).Q
        moved = 2.5 * s @ rotation + draw(7, seed=3)
        close(loss(moved, t), loss(s, t))
        stretched = s * torch.linspace(0.2, 3, 7)
        assert abs(loss(stretched, t) - loss(s, t)) > 1e-3

    @both
    def test_r3_permutation(self, loss):
        s, t = draw(N, 7), draw(N, 5, seed=1)
        order = torch.randperm(N, generator=torch.Generator().manual_seed(0))
        close(loss(s[order], t[order]), loss(s, t))

    @both
    def test_r4_padding(self, loss):
        s, t = draw(N, 7), draw(N, 5, seed=1)
        close(loss(torch.cat([s, 0 * s], 1), t), loss(s, t))

    @both
    def test_r5_gradient_has_no_translation_and_no_scale(self, loss):
        s, t = draw(N, 7), draw(N, 5, seed=1)
        grad = gradient(loss, s, t)
        assert grad.abs().max() > 1e-4
        assert grad.sum(0).abs().max() < 1e-15
        assert abs((grad * s).sum()) < 1e-15

    @both
    def test_r6_similar_sets(self, loss):
        t = draw(N, 7)
        assert loss(t, t) < 1e-30
        assert loss(3.7 * t + 11, t) < 1e-27

    def test_r7_mean_of_the_ratios(self):
        # A teacher on which all ratios are 1: unit vectors, sqrt(2) apart.
        psi = rkd._relative_distances(draw(N, 7))
        close(psi.sum() / (N * (N - 1)), 1)
        close(psi.mean(), (N - 1) / N)

    def test_r8_share_of_distinct_tuples(self):
        s, t = draw(N, 7).numpy(), draw(N, 5, seed=1).numpy()
        gaps = ratios(s) - ratios(t)
        pairs = [
            huber(gaps[i, j]) for i in range(N) for j in range(N) if i != j
        ]
        close(
            rkd_distance_loss(torch.tensor(s), torch.tensor(t)),
            (N - 1) / N * np.mean(pairs),
        )
        gaps = cosines(s) - cosines(t)
        triplets = [
            huber(gaps[i, j, k])
            for i in range(N)
            for j in range(N)
            for k in range(N)
            if len({i, j, k}) == 3
        ]
        close(
            rkd_angle_loss(torch.tensor(s), torch.tensor(t)),
            (N - 1) * (N - 2) / N**2 * np.mean(triplets),
        )

    def test_r9_angles_are_cosines(self):
        x = draw(N, 7)
        gram, distances = rkd._geometry(x)
        vertices = torch.arange(N)
        inner = rkd._inner_products(gram, vertices)
        angles = rkd._scaled(inner, rkd._inverse(distances))
        expected = torch.nn.functional.cosine_similarity(
            (x[None] - x[:, None])[:, :, None],
            (x[None] - x[:, None])[:, None],
            dim=3,
        )
        close(angles, expected, atol=1e-13)
        assert angles.abs().max() <= 1 + 1e-13

    @both
    def test_r11_teacher_gets_no_gradient(self, loss):
        s, t = draw(N, 7).requires_grad_(), draw(N, 7, seed=1).requires_grad_()
        loss(s, t).backward()
        assert s.grad.abs().max() > 0 and t.grad is None


class TestTraps:
    @both
    @pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
    @pytest.mark.parametrize(
        'apart', [0, 1e-30, 1e-12, 1e-9, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3]
    )
    def test_t1_t2_duplicates(self, loss, dtype, apart):
        # R12. The published angle loss: 1e10 at 0, 8e5 at 1e-9, 8e2 at 1e-6.
        s, t = draw(N, 7), draw(N, 7, seed=1)
        s[4] = s[1] + apart * draw(7, seed=2)
        s[7] = s[1]
        s, t = s.to(dtype), t.to(dtype)
        assert loss(s, t).isfinite()
        assert gradient(loss, s, t).abs().max() < 1
        # A duplicate on the teacher's side is no trap.
        assert gradient(loss, t, s).abs().max() < 0.1

    def test_t1_bounded_gradient_still_points_downhill(self):
        s, t = draw(N, 7), draw(N, 7, seed=1)
        s[4] = s[1] + 1e-4 * draw(7, seed=2)
        step = gradient(rkd_angle_loss, s, t)
        lower = rkd_angle_loss(s - 1e-5 * step / step.norm(), t)
        assert lower < rkd_angle_loss(s, t)

    def test_t1_exact_gradient_beyond_the_bound(self):
        s, t = draw(N, 7), draw(N, 7, seed=1)
        s[4] = s[1] + 1e-2 * draw(7, seed=2)
        expected = gradient(explicit_angle_loss, s, t)
        close(gradient(rkd_angle_loss, s, t), expected, rtol=1e-9)

    def test_t2_mean_over_all_pairs(self):
        # Duplicates count in the mean distance: 3 points, 2 of them equal,
        # have the distances 0, d, d and the mean 2 d / 3.
        s = torch.tensor([[0.0], [0.0], [6.0]]).double()
        t = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]).double()
        # ratios 0, 1.5, 1.5 against 1, 1, 1; each pair twice among 9
        expected = 2 * (0.5 + 0.125 + 0.125) / 9
        close(rkd_distance_loss(s, t), expected)

    @both
    @pytest.mark.parametrize('row', [0.0, 0.1, 1e4])
    @pytest.mark.parametrize(
        'dtype', [torch.float16, torch.float32, torch.float64]
    )
    def test_t3_all_rows_identical(self, loss, row, dtype):
        s = torch.full((N, 7), row, dtype=dtype)
        t = draw(N, 7, seed=1)
        value = loss(s, t.to(dtype))
        grad = gradient(loss, s, t.to(dtype))
        assert torch.equal(grad, torch.zeros_like(grad))
        tolerance = 1e-2 if dtype == torch.float16 else 1e-5
        close(value, oracle(loss, s.double(), t), rtol=tolerance)
        close(loss(s, s), 0)

    @both
    @pytest.mark.parametrize('n', [0, 1, 2])
    @pytest.mark.parametrize(
        'dtype', [torch.float16, torch.float32, torch.float64]
    )
    def test_t4_no_relation_among_fewer_than_three(self, loss, n, dtype):
        s = draw(n, 7).to(dtype).requires_grad_()
        value = loss(s, draw(n, 5, seed=1).to(dtype))
        value.backward()
        assert value.shape == () and value.item() == 0
        assert torch.equal(s.grad, torch.zeros_like(s))

    @both
    @pytest.mark.parametrize(
        ('offset', 'dtype'), [(1e3, torch.float32), (1e6, torch.float64)]
    )
    def test_t5_far_cluster(self, loss, offset, dtype):
        # Radius 0.01: the dtype can tell the rows apart, products cannot.
        s = (offset + 0.01 * draw(N, 7)).to(dtype)
        t = draw(N, 7, seed=1).to(dtype)
        close(loss(s, t), oracle(loss, s.double(), t.double()), rtol=1e-5)

    @both
    def test_t5_two_far_clusters(self, loss):
        s = 0.01 * draw(N, 7)
        s[:4] += 1000
        s, t = s.float(), draw(N, 7, seed=1).float()
        close(loss(s, t), oracle(loss, s.double(), t.double()), rtol=1e-5)

    @both
    @pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
    def test_t6_half_precision(self, loss, dtype):
        s, t = draw(N, 7).to(dtype), draw(N, 7, seed=1).to(dtype)
        value = loss(s, t)
        assert value.dtype == torch.float32
        close(value, oracle(loss, s.double(), t.double()), rtol=1e-6)
        grad = gradient(loss, s, t)
        expected = gradient(loss, s.double(), t.double())
        assert grad.dtype == dtype
        close(grad, expected, rtol=1e-2, atol=1e-4)
        with torch.autocast('cpu', torch.bfloat16):
            assert torch.equal(loss(s, t), value)

    def test_t7_memory(self, monkeypatch):
        # No tensor of the angle loss exceeds a chunk, or N * (N or D).
        n, width = 64, 256
        monkeypatch.setattr(rkd, 'ANGLES_AT_ONCE', 8 * n**2)
        largest = 0

        class Watch(torch.utils._python_dispatch.TorchDispatchMode):
            def __torch_dispatch__(self, func, types, args=(), kwargs=None):
                nonlocal largest
                out = func(*args, **(kwargs or {}))
                if isinstance(out, torch.Tensor):
                    largest = max(largest, out.numel())
                return out

        s = draw(n, width).requires_grad_()
        with Watch():
            rkd_angle_loss(s, draw(n, width, seed=1)).backward()
        assert largest == 8 * n**2 < n**3

    @both
    def test_dead_embeddings_and_one_alive(self, loss):
        s = torch.zeros(N, 7)
        s[0] = 50
        t = draw(N, 7, seed=1).float()
        grad = gradient(loss, s, t)
        assert grad.isfinite().all() and grad.abs().max() < 1

    @both
    def test_nan_is_not_masked(self, loss):
        s = draw(N, 7)
        s[3, 2] = torch.nan
        assert loss(s, draw(N, 7, seed=1)).isnan()


@both
def test_shapes(loss):
    with pytest.raises(
        ValueError, match='teacher .*N = 8, but student.*N = 9'
    ):
        loss(draw(9, 4), draw(8, 4))
    with pytest.raises(ValueError, match=r'student must have shape \(N, Ds\)'):
        loss(draw(9, 4, 2, 2), draw(9, 4))

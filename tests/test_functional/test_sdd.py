"""Scale-decoupled distillation against loops, and the invariants S."""

import functools
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from kd_det.functional import (
    dkd_loss,
    kd_loss,
    nkd_loss,
    region_pool,
    sdd_loss,
    sdd_weights,
)

N, K, R = 6, 4, 5


def draw(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.fixture
def batch():
    s, t = draw(N, K, R, seed=0), draw(N, K, R, seed=1)
    return s, t, torch.tensor([0, 3, 1, 1, 2, 0])


def kd(s, t, labels, tau=2.0):
    return kd_loss(s, t, tau)


dkd = functools.partial(dkd_loss, beta=2.0)
BASES = pytest.mark.parametrize('base', [kd, dkd, nkd_loss])


def one_hot_regions(predictions):
    """Logits (N, K, R) whose argmax is ``predictions`` (N, R)."""
    predictions = torch.tensor(predictions)
    logits = draw(*predictions.shape, K, seed=3)
    best = F.one_hot(predictions, K) * 20
    return (logits + best).transpose(1, 2)


def naive_pool(x, scales, via_4x4=False):
    def grid(image, m):
        h, w = image.shape
        out = np.zeros((m, m))
        for i in range(m):
            for j in range(m):
                top, bottom = i * h // m, math.ceil((i + 1) * h / m)
                left, right = j * w // m, math.ceil((j + 1) * w / m)
                out[i, j] = image[top:bottom, left:right].mean()
        return out

    x = x.numpy()
    out = np.zeros((*x.shape[:2], sum(m * m for m in scales)))
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            image = grid(x[n, c], 4) if via_4x4 else x[n, c]
            cells = [grid(image, m).ravel() for m in scales]
            out[n, c] = np.concatenate(cells)
    return out


def first_argmax(row):
    return max(range(len(row)), key=lambda k: (row[k], -k))


def naive_weights(t, labels, beta, split, consistent=1):
    t, out = t.numpy(), np.ones((t.shape[0], t.shape[2]))
    for n, y in enumerate(labels.tolist()):
        whole = first_argmax(t[n, :, 0])
        for r in range(t.shape[2]):
            local = first_argmax(t[n, :, r])
            if split == 'code':
                agree = (local == y) == (whole == y)
            else:
                agree = local == whole
            out[n, r] = consistent if agree else beta
    return out


def naive_sdd(s, t, labels, base, beta, split):
    weights = naive_weights(t, labels, beta, split)
    out = np.zeros(s.shape[0])
    for n in range(s.shape[0]):
        for r in range(s.shape[2]):
            one = base(s[[n], :, r], t[[n], :, r], labels[[n]])
            out[n] += weights[n, r] * one.item() / s.shape[2]
    return out


def close(actual, expected, **kwargs):
    expected = torch.as_tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(actual, expected, **kwargs)


class TestRegionPool:
    @pytest.mark.parametrize('via_4x4', [False, True])
    @pytest.mark.parametrize(
        'size', [(8, 8), (7, 7), (4, 4), (2, 2), (14, 9), (1, 1)]
    )
    @pytest.mark.parametrize('scales', [(1, 2, 4), (1,), (1, 2), (1, 3)])
    def test_oracle(self, size, scales, via_4x4):
        x = draw(2, 3, *size, seed=0)
        out = region_pool(x, scales, via_4x4)
        close(out, naive_pool(x, scales, via_4x4))

    def test_order(self):
        # 4 x 4 cells numbered row by row; each 2 x 2 cell is a mean of four
        x = torch.arange(16.0).reshape(1, 1, 4, 4)
        expected = [7.5, 2.5, 4.5, 10.5, 12.5, *range(16)]
        assert region_pool(x).flatten().tolist() == expected

    def test_s10_linear_map_commutes(self):
        x, w = draw(2, 3, 7, 7, seed=0), draw(K, 3, seed=1)
        mapped = torch.einsum('kc,nchw->nkhw', w, x) + 0.5
        pooled = torch.einsum('kc,ncr->nkr', w, region_pool(x)) + 0.5
        close(region_pool(mapped), pooled)

    @pytest.mark.parametrize('via_4x4', [False, True])
    def test_s11_four_divides_the_size(self, via_4x4):
        x = draw(2, 3, 8, 12, seed=0)
        cells = region_pool(x, via_4x4=via_4x4)
        close(cells[..., 0], x.mean((2, 3)))
        close(cells[..., 1:5].mean(-1), cells[..., 0])
        close(cells[..., 5:].mean(-1), cells[..., 0])

    def test_s12_seven_by_seven(self):
        x = draw(2, 3, 7, 7, seed=0)
        side = torch.tensor([3, 5, 2, 4, 2, 5, 3], dtype=torch.float64) / 24
        expected = torch.einsum('h,w,nchw->nc', side, side, x)
        via = region_pool(x, via_4x4=True)[..., 0]
        close(via, expected)
        close(region_pool(x)[..., 0], x.mean((2, 3)))
        assert (via - x.mean((2, 3))).abs().max() > 1e-3

    def test_weights_of_a_list_from_a_config(self):
        x = draw(1, 1, 4, 4, seed=0)
        assert torch.equal(region_pool(x, [1, 2]), region_pool(x, (1, 2)))

    @pytest.mark.parametrize(
        'scales', [(), (0,), (1, -2), (1, 2.0), ('1',), (1, None)]
    )
    def test_bad_scales(self, scales):
        with pytest.raises(ValueError, match='scales must be'):
            region_pool(torch.zeros(1, 1, 4, 4), scales)

    def test_bad_map(self):
        with pytest.raises(ValueError, match='feature_map must have shape'):
            region_pool(torch.zeros(1, 4, 4))
        with pytest.raises(ValueError, match='no empty axis'):
            region_pool(torch.zeros(1, 3, 0, 4))


class TestWeights:
    @pytest.mark.parametrize('split', ['code', 'paper'])
    def test_oracle(self, batch, split):
        _, t, y = batch
        weights = sdd_weights(t, y, 3.0, split)
        close(weights, naive_weights(t, y, 3.0, split))
        assert weights.dtype == torch.float64
        weights = sdd_weights(t, y, 3.0, split, consistent=0.25)
        close(weights, naive_weights(t, y, 3.0, split, 0.25))

    def test_table_of_cases(self):
        # label 0; global right, then global wrong (class 1)
        t = one_hot_regions([[0, 0, 1, 2], [1, 1, 0, 2]])
        y = torch.tensor([0, 0])
        code = sdd_weights(t, y)
        paper = sdd_weights(t, y, split='paper')
        assert code.tolist() == [[1, 1, 2, 2], [1, 1, 2, 1]]
        assert paper.tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]

    def test_s5_range(self, batch):
        _, t, y = batch
        weights = sdd_weights(t, y)
        assert set(weights.unique().tolist()) == {1, 2}
        assert (weights[:, 0] == 1).all()

    @pytest.mark.parametrize('split', ['code', 'paper'])
    def test_ties_take_the_first_class(self, split):
        t = torch.zeros(1, K, 3)
        t[0, 1:, 1] = 5  # classes 1..3 tie: class 1
        t[0, 0, 2] = 1
        weights = sdd_weights(t, torch.tensor([0]), split=split)
        assert weights.tolist() == [[1, 2, 1]]

    def test_no_graph(self, batch):
        _, t, y = batch
        assert not sdd_weights(t.requires_grad_(), y).requires_grad


class TestLoss:
    @BASES
    @pytest.mark.parametrize('split', ['code', 'paper'])
    def test_oracle(self, batch, base, split):
        loss = sdd_loss(*batch, base, 3.0, split)
        close(loss, naive_sdd(*batch, base, 3.0, split))

    @BASES
    def test_s1_one_region_is_the_plain_loss(self, batch, base):
        s, t, y = batch
        loss = sdd_loss(s[..., :1], t[..., :1], y, base)
        close(loss, base(s[..., 0], t[..., 0], y))

    @BASES
    def test_s2_beta_one_is_the_plain_loss_on_all_regions(self, batch, base):
        s, t, y = batch
        plain = [base(s[..., r], t[..., r], y) for r in range(R)]
        close(sdd_loss(s, t, y, base, beta=1.0), sum(plain) / R)

    @pytest.mark.parametrize(
        'predictions', [[[0] * 5, [3] * 5], [[1, 2, 3, 2, 1], [0, 1, 2, 0, 1]]]
    )
    def test_s3_all_right_or_all_wrong_is_plain(self, predictions):
        s, t = draw(2, K, R, seed=0), one_hot_regions(predictions)
        y = torch.tensor([0, 3])
        assert torch.equal(
            sdd_loss(s, t, y, dkd), sdd_loss(s, t, y, dkd, beta=1.0)
        )

    def test_s4_global_right_locals_wrong(self):
        s, t = draw(1, K, R, seed=0), one_hot_regions([[0, 1, 1, 2, 3]])
        y = torch.tensor([0])
        each = [dkd(s[..., r], t[..., r], y) for r in range(R)]
        expected = (each[0] + 2 * sum(each[1:])) / R
        close(sdd_loss(s, t, y, dkd), expected)

    @pytest.mark.parametrize('base', [kd, dkd])
    def test_s6_bounds(self, batch, base):
        plain = sdd_loss(*batch, base, beta=1.0)
        loss = sdd_loss(*batch, base)
        assert (loss >= plain).all() and (loss <= 2 * plain).all()
        assert (loss > plain).any()

    def test_s7_order_of_local_regions(self, batch):
        s, t, y = batch
        order = torch.tensor([0, 3, 1, 4, 2])
        moved = sdd_loss(s[..., order], t[..., order], y, dkd)
        close(moved, sdd_loss(s, t, y, dkd))

    @pytest.mark.parametrize('base', [kd, dkd])
    def test_s9_equal_logits(self, batch, base):
        s, _, y = batch
        close(sdd_loss(s, s.clone(), y, base), np.zeros(N))

    def test_s13_two_by_two_maps_repeat_their_cells(self):
        s, t = draw(N, K, 2, 2, seed=0), draw(N, K, 2, 2, seed=1)
        y = torch.arange(N) % K
        loss = sdd_loss(region_pool(s), region_pool(t), y, kd)
        s, t = region_pool(s, (1, 2)), region_pool(t, (1, 2))
        weights = sdd_weights(t, y)
        each = torch.stack(
            [kd(s[..., r], t[..., r], y) for r in range(R)], dim=1
        )
        each = weights * each
        close(loss, (each[:, 0] + 5 * each[:, 1:].sum(1)) / 21)

    @BASES
    def test_s14_constant_maps_are_the_global_loss(self, base):
        s, t = draw(N, K, 1, 1, seed=0), draw(N, K, 1, 1, seed=1)
        y = torch.arange(N) % K
        loss = sdd_loss(
            region_pool(s.expand(-1, -1, 7, 7)),
            region_pool(t.expand(-1, -1, 5, 8)),
            y,
            base,
        )
        close(loss, base(s[..., 0, 0], t[..., 0, 0], y))

    def test_s16_gradient(self, batch):
        s, t, y = batch
        s.requires_grad_()
        sdd_loss(s, t, y, kd).mean().backward()
        gap = (s / 2).softmax(1) - (t / 2).softmax(1)
        weights = sdd_weights(t, y)[:, None]
        close(s.grad, weights / (N * R) * 2 * gap.detach())

    def test_s8_weights_and_base_see_a_detached_teacher_once(self, batch):
        s, t, y = batch
        s, t, calls = s.requires_grad_(), t.requires_grad_(), []

        def base(student, teacher, labels):
            calls.append((student, teacher, labels))
            return (student - teacher).square().sum(1)

        sdd_loss(s, t, y, base).sum().backward()
        ((student, teacher, labels),) = calls
        assert student.shape == teacher.shape == (N * R, K)
        assert labels.tolist() == [label for label in y for _ in range(R)]
        assert torch.equal(student[R + 2], s[1, :, 2])
        assert not teacher.requires_grad and t.grad is None
        assert s.grad is not None

    def test_base_runs_in_float32(self, batch):
        s, t, y = batch

        def base(student, teacher, labels):
            assert student.dtype == teacher.dtype == torch.float32
            product = student @ teacher.T
            assert product.dtype == torch.float32
            return product.diagonal()

        with torch.autocast('cpu', torch.bfloat16):
            sdd_loss(s.bfloat16(), t.half(), y, base)

    def test_nan_shows_in_its_row_only(self, batch):
        s, t, y = batch
        s[2, 0, 3] = torch.nan
        loss = sdd_loss(s, t, y, kd)
        assert loss.isnan().tolist() == [i == 2 for i in range(N)]


class TestErrors:
    def test_split(self, batch):
        _, t, y = batch
        for call in (
            lambda: sdd_weights(t, y, split='papers'),
            lambda: sdd_loss(*batch, kd, split='papers'),
        ):
            with pytest.raises(ValueError, match="did you mean 'paper'"):
                call()

    @pytest.mark.parametrize(
        'call', [sdd_weights, lambda t, y: sdd_loss(t, t, y, kd)]
    )
    def test_shapes_and_labels(self, batch, call):
        _, t, y = batch
        with pytest.raises(ValueError, match='labels'):
            call(t, y[:2])
        with pytest.raises(ValueError, match=r'\[0, 4\), got 4'):
            call(t, y + 1)
        with pytest.raises(ValueError, match=r'shape \(N, K, R\)'):
            call(t[..., 0], y)
        with pytest.raises(ValueError, match='one class and one region'):
            call(t[..., :0], y)

    def test_regions_must_agree(self, batch):
        s, t, y = batch
        with pytest.raises(ValueError, match='teacher_region_logits.*R = 4'):
            sdd_loss(s, t[..., :4], y, kd)

    @pytest.mark.parametrize(
        'base', [lambda s, t, y: s.mean(), lambda s, t, y: s]
    )
    def test_base_must_not_reduce(self, batch, base):
        with pytest.raises(ValueError, match='base must return'):
            sdd_loss(*batch, base)

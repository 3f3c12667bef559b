"""OFD against a loop, and its margin against an integral."""

import math

import numpy as np
import pytest
import torch
from functional_toy import close, draw

from kd_det.functional import ofd_loss, ofd_margin


def expected_negative(weight, bias):
    """E[x | x < 0] of a normal variable, by the midpoint rule."""
    width = abs(weight)
    low = min(bias, 0) - 12 * width
    edges = np.linspace(low, 0, 200_001)
    x = (edges[1:] + edges[:-1]) / 2
    density = np.exp(-(((x - bias) / width) ** 2) / 2)
    return (x * density).sum() / density.sum()


class TestLoss:
    def setup_method(self):
        self.student, self.teacher = draw(4, 3, 5, 2), draw(4, 3, 5, 2, seed=1)
        self.margin = torch.tensor([-0.2, -0.8, -1.5]).double()

    @pytest.mark.parametrize('margin', [[-0.2, -0.8, -1.5], [-0.2, 0, 0.4]])
    def test_oracle(self, margin):
        # A margin above 0 is nothing ofd_margin returns, but it is defined.
        self.margin = torch.tensor(margin).double()
        expected = []
        for s, t in zip(
            self.student.numpy(), self.teacher.numpy(), strict=True
        ):
            total = 0.0
            for c, h, w in np.ndindex(*s.shape):
                target = max(t[c, h, w], self.margin[c].item())
                if s[c, h, w] > target or target > 0:
                    total += (s[c, h, w] - target) ** 2
            expected.append(total)
        close(ofd_loss(self.student, self.teacher, self.margin), expected)

    def test_four_cases(self):
        # margin -1: teacher 2 asks for 2 from both sides; teacher -0.5 asks
        # for at most -0.5; teacher -3 for at most the margin
        s = torch.tensor([3.0, 1, 0.5, -0.7, 0, -1, -9]).view(1, 1, 7, 1)
        t = torch.tensor([2.0, 2, -0.5, -0.5, -3, -3, -3]).view(1, 1, 7, 1)
        each = [1, 1, 1, 0, 1, 0, 0]
        for i, expected in enumerate(each):
            cell = ofd_loss(
                s[:, :, i : i + 1], t[:, :, i : i + 1], -torch.ones(1)
            )
            assert cell.item() == expected
        assert ofd_loss(s, t, -torch.ones(1)).item() == sum(each)

    def test_nothing_where_both_are_under_the_margin(self):
        t = self.margin[:, None, None] - self.teacher.abs()
        s = (self.margin[:, None, None] - self.student.abs()).requires_grad_()
        loss = ofd_loss(s, t, self.margin)
        loss.sum().backward()
        assert loss.abs().max() == 0 and s.grad.abs().max() == 0

    def test_equal_maps(self):
        # A student on the teacher's map is above the target nowhere, and
        # below it only under the margin, where it is left alone.
        loss = ofd_loss(self.teacher, self.teacher, self.margin)
        assert loss.abs().max() == 0

    def test_gradcheck(self):
        assert torch.autograd.gradcheck(
            lambda s: ofd_loss(s, self.teacher, self.margin),
            self.student.requires_grad_(),
        )

    def test_neither_teacher_nor_margin_get_a_gradient(self):
        self.student.requires_grad_()
        self.teacher.requires_grad_()
        self.margin.requires_grad_()
        ofd_loss(self.student, self.teacher, self.margin).sum().backward()
        assert self.student.grad.abs().max() > 0
        assert self.teacher.grad is None and self.margin.grad is None

    @pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
    def test_half_precision(self, dtype):
        # Squares and sums beyond the range of float16.
        inputs = [
            x.to(dtype)
            for x in (300 * self.student, 300 * self.teacher, self.margin)
        ]
        loss = ofd_loss(*inputs)
        assert loss.dtype == torch.float32
        close(loss, ofd_loss(*[x.double() for x in inputs]), rtol=1e-5)
        with torch.autocast('cpu', torch.bfloat16):
            assert torch.equal(ofd_loss(*inputs), loss)

    def test_empty_batch(self):
        s = draw(0, 3, 5, 2).requires_grad_()
        loss = ofd_loss(s, draw(0, 3, 5, 2), self.margin)
        loss.sum().backward()
        assert loss.shape == (0,) and s.grad.shape == s.shape

    def test_nan_is_not_masked(self):
        for i in range(2):
            maps = [self.student.clone(), self.teacher.clone()]
            maps[i][2, 1] = torch.nan
            assert ofd_loss(*maps, self.margin).isnan().tolist() == [
                False,
                False,
                True,
                False,
            ]

    def test_shapes(self):
        with pytest.raises(ValueError, match='margin.*C = 2.*C = 3'):
            ofd_loss(self.student, self.teacher, self.margin[:2])
        with pytest.raises(ValueError, match=r'margin must have shape \(C\)'):
            ofd_loss(self.student, self.teacher, self.margin[:, None])
        with pytest.raises(ValueError, match='teacher_map.*H = 4'):
            ofd_loss(self.student, self.teacher[:, :, :4], self.margin)


class TestMargin:
    @pytest.mark.parametrize('weight', [1.0, -1.0, 0.3, 5.0])
    @pytest.mark.parametrize('ratio', [-40, -3, -0.5, 0, 0.7, 3.0])
    def test_oracle(self, weight, ratio):
        bias = ratio * abs(weight)
        margin = ofd_margin(
            torch.tensor([weight]).double(), torch.tensor([bias]).double()
        )
        close(margin, [expected_negative(weight, bias)], rtol=1e-6)

    def test_standard_normal(self):
        margin = ofd_margin(torch.ones(1).double(), torch.zeros(1).double())
        close(margin, [-math.sqrt(2 / math.pi)])

    def test_hardly_ever_negative(self):
        # Phi(-3.1) = 0.00097 is below the limit, Phi(-3.09) = 0.0010008 not.
        weight = torch.tensor([2.0, -2.0, 2.0]).double()
        bias = torch.tensor([6.2, 80.0, 6.18]).double()
        margin = ofd_margin(weight, bias)
        close(margin[:2], [-6, -6])
        close(margin[2:], [expected_negative(2.0, 6.18)], rtol=1e-6)

    def test_zero_weight(self):
        bias = torch.tensor([-2.0, 0, 3])
        assert ofd_margin(torch.zeros(3), bias).tolist() == [-2, 0, 0]

    @pytest.mark.parametrize(
        'dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64]
    )
    def test_finite_and_not_positive(self, dtype):
        sizes = [0, 1e-45, 1e-30, 1e-7, 1e-3, 1, 1e4]
        values = torch.tensor(sizes + [-x for x in sizes]).to(dtype)
        weight, bias = torch.cartesian_prod(values, values).unbind(1)
        margin = ofd_margin(weight, bias)
        assert margin.isfinite().all() and (margin <= 0).all()
        assert margin.dtype == torch.promote_types(dtype, torch.float32)
        # The limit of a small weight is that of weight 0.
        tiny = torch.full((3,), 1e-12)
        limit = torch.tensor([-2.0, 0, 3])
        close(
            ofd_margin(tiny, limit),
            ofd_margin(torch.zeros(3), limit).double(),
            atol=1e-11,
        )

    def test_no_graph(self):
        weight = torch.ones(3, requires_grad=True)
        assert not ofd_margin(weight, torch.zeros(3)).requires_grad

    def test_nan_is_not_masked(self):
        nan = torch.tensor([torch.nan])
        assert ofd_margin(nan, torch.zeros(1)).isnan()
        assert ofd_margin(torch.ones(1), nan).isnan()
        assert ofd_margin(torch.zeros(1), nan).isnan()

    def test_empty(self):
        assert ofd_margin(torch.zeros(0), torch.zeros(0)).shape == (0,)

    def test_shapes(self):
        with pytest.raises(ValueError, match='bn_bias.*C = 2.*C = 3'):
            ofd_margin(torch.ones(3), torch.ones(2))

"""The hierarchical context loss of ReviewKD against loops."""

import numpy as np
import pytest
import torch
from functional_toy import close, draw, pool
from torch.nn import functional as F

from kd_det.functional import (
    hcl_loss,
)


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

"""MGD's distance against loops."""

import pytest
from functional_toy import close, draw

from kd_det.functional import mgd_loss


def test_oracle():
    g, t = draw(2, 3, 4, 5), draw(2, 3, 4, 5, seed=1)
    expected = [
        sum(
            float(g[n, c, i, j] - t[n, c, i, j]) ** 2
            for c in range(3)
            for i in range(4)
            for j in range(5)
        )
        for n in range(2)
    ]
    close(mgd_loss(g, t), expected)


def test_shapes():
    with pytest.raises(ValueError, match='teacher_feat.*H = 2.*H = 4'):
        mgd_loss(draw(2, 3, 4, 4), draw(2, 3, 2, 2))

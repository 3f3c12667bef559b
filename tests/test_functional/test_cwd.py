"""CWD against loops, and what does not change it."""

import math

import pytest
import torch
from functional_toy import close, draw, gradient

from kd_det.functional import cwd_loss, kd_loss


def oracle(student, teacher, tau, mask=None):
    """Loops over images, channels and positions, with plain exponentials."""
    images, channels, height, width = student.shape
    losses = []
    for n in range(images):
        value = 0.0
        for c in range(channels):
            s, t = [], []
            for i in range(height):
                for j in range(width):
                    if mask is None or mask[n, 0, i, j]:
                        s.append(math.exp(student[n, c, i, j] / tau))
                        t.append(math.exp(teacher[n, c, i, j] / tau))
            for a, b in zip(s, t):
                p, q = b / sum(t), a / sum(s)
                value += p * math.log(p / q)
        losses.append(tau**2 * value / channels)
    return losses


def some_mask():
    mask = torch.ones(2, 1, 4, 5, dtype=torch.bool)
    mask[0, :, 3:] = False
    mask[1, :, :, 2:] = False
    return mask


@pytest.mark.parametrize('tau', [0.5, 1, 4])
@pytest.mark.parametrize('mask', [None, some_mask()], ids=['whole', 'mask'])
def test_oracle(tau, mask):
    s, t = draw(2, 3, 4, 5) * 2, draw(2, 3, 4, 5, seed=1)
    close(cwd_loss(s, t, tau, mask), oracle(s, t, tau, mask), rtol=1e-11)


def test_is_kd_over_positions():
    s, t = draw(2, 3, 4, 5), draw(2, 3, 4, 5, seed=1)
    rows = kd_loss(s.reshape(6, 20), t.reshape(6, 20), 3.0)
    close(cwd_loss(s, t, 3.0), rows.view(2, 3).mean(1))


def test_a_mask_is_a_crop():
    s, t = draw(2, 3, 4, 5), draw(2, 3, 4, 5, seed=1)
    mask = torch.zeros(2, 1, 4, 5, dtype=torch.bool)
    mask[..., :3, :2] = True
    whole = cwd_loss(s, t, 2.0, mask)
    close(whole, cwd_loss(s[..., :3, :2], t[..., :3, :2], 2.0))
    grad = gradient(lambda x: cwd_loss(x, t, 2.0, mask), s)
    assert not grad[~mask.expand_as(grad)].any()


def test_an_image_without_any_position():
    s, t, mask = draw(2, 3, 4, 5), draw(2, 3, 4, 5, seed=1), some_mask()
    mask[0] = False
    loss = cwd_loss(s, t, 1.0, mask)
    assert loss[0] == 0 and loss[1] > 0
    grad = gradient(lambda x: cwd_loss(x, t, 1.0, mask), s)
    assert grad.isfinite().all() and not grad[0].any()


def test_a_constant_of_a_channel_does_not_count():
    s, t = draw(2, 3, 4, 5), draw(2, 3, 4, 5, seed=1)
    moved = s + 100 * draw(2, 3, 1, 1, seed=2)
    close(cwd_loss(moved, t), cwd_loss(s, t), rtol=1e-10)
    close(cwd_loss(moved, s), torch.zeros(2), atol=1e-12)
    # the gradient of a channel sums to zero for the same reason
    grad = gradient(lambda x: cwd_loss(x, t), s)
    close(grad.sum((2, 3)), torch.zeros(2, 3), atol=1e-14)


def test_far_values():
    """A softmax of large entries neither overflows nor divides by zero."""
    s = (draw(2, 3, 4, 5) * 1e4).float()
    t = (draw(2, 3, 4, 5, seed=1) * 1e4).float()
    assert cwd_loss(s, t).isfinite().all()
    assert gradient(lambda x: cwd_loss(x, t), s).isfinite().all()


def test_gradcheck_with_a_mask():
    s, t = draw(2, 3, 4, 5).requires_grad_(), draw(2, 3, 4, 5, seed=1)
    assert torch.autograd.gradcheck(
        lambda x: cwd_loss(x, t, 2.0, some_mask()), s
    )


def test_wrong_arguments():
    with pytest.raises(ValueError, match='teacher_feat.*H = 2.*H = 4'):
        cwd_loss(draw(2, 3, 4, 4), draw(2, 3, 2, 2))
    with pytest.raises(ValueError, match='tau must be above 0'):
        cwd_loss(draw(2, 3, 4, 4), draw(2, 3, 4, 4), tau=0)

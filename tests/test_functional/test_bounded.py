"""The teacher-bounded loss against a loop and at its bound."""

import pytest
import torch
from functional_toy import close, draw, gradient

from kd_det.functional import teacher_bounded_loss


def oracle(student, teacher, target, margin):
    for s, t, y in zip(student.tolist(), teacher.tolist(), target.tolist()):
        ours = sum((a - b) ** 2 for a, b in zip(s, y))
        theirs = sum((a - b) ** 2 for a, b in zip(t, y))
        yield ours if ours + margin > theirs else 0.0


@pytest.mark.parametrize('margin', [0.0, 2.0, 1e9])
def test_oracle(margin):
    s, t, y = (draw(40, 4, seed=seed) for seed in range(3))
    expected = [*oracle(s, t, y, margin)]
    assert expected.count(0.0) > 5 or margin > 1e3
    assert expected.count(0.0) < 35
    close(teacher_bounded_loss(s, t, y, margin), expected)


def test_gradient():
    """That of the squared error, towards the target, or none."""
    s, t, y = (draw(8, 4, seed=seed) for seed in range(3))
    assert torch.autograd.gradcheck(
        lambda x: teacher_bounded_loss(x, t, y, 0.5),
        s.clone().requires_grad_(),
    )
    kept = teacher_bounded_loss(s, t, y) > 0
    assert kept.any() and not kept.all()
    expected = 2 * (s - y) * kept[:, None]
    close(gradient(lambda x: teacher_bounded_loss(x, t, y), s), expected)
    t, y = t.requires_grad_(), y.requires_grad_()
    teacher_bounded_loss(s.requires_grad_(), t, y).sum().backward()
    assert t.grad is None and y.grad is None


def test_at_the_bound():
    """An error equal to the teacher's ends it, one below by m at last."""
    y = torch.zeros(1, 4, dtype=torch.float64)
    t = y + 1  # error 4
    for error, margin, paid in ((4, 0, 0), (4, 1, 4), (3, 1, 0), (5, 0, 5)):
        s = y + (error / 4) ** 0.5
        close(teacher_bounded_loss(s, -t, y, margin), [paid])


def test_nan_is_not_hidden():
    y = torch.zeros(2, 4)
    s = torch.tensor([[float('nan')] * 4, [0.0] * 4])
    assert teacher_bounded_loss(s, y + 1, y).isnan().tolist() == [True, False]


def test_wrong_arguments():
    with pytest.raises(ValueError, match='target_deltas.*E = 4.*E = 5'):
        teacher_bounded_loss(draw(2, 5), draw(2, 5), draw(2, 4))
    with pytest.raises(ValueError, match='margin must be a finite number'):
        teacher_bounded_loss(*draw(3, 2, 4), margin=float('inf'))

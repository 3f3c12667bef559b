"""CWDLoss is cwd_loss summed over levels, and equal to mmrazor's."""

import numpy as np
import pytest
import torch
from razor import draw, mmrazor_loss

from kd_det.errors import UserError
from kd_det.functional import cwd_loss
from kd_det.losses import CWDLoss

SHAPES = [(3, 2, 8, 8), (3, 4, 4, 6), (3, 5, 2, 1)]


def maps(seed, dtype=torch.float64):
    return tuple(
        draw(*shape, seed=seed + level, dtype=dtype)
        for level, shape in enumerate(SHAPES)
    )


def by_hand(student, teacher, tau):
    """The mean KL divergence of a channel, level by level."""
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        n, c = s.shape[:2]
        p, q = (
            np.exp(x.detach().numpy().reshape(n * c, -1) / tau) for x in (t, s)
        )
        p, q = (x / x.sum(1, keepdims=True) for x in (p, q))
        total += tau**2 * (p * np.log(p / q)).sum() / (n * c)
    return total


def test_against_numpy():
    student, teacher = maps(0), maps(9)
    value = CWDLoss(tau=2.0)(student, teacher)
    expected = by_hand(student, teacher, 2.0)
    assert value.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize('tau', [1.0, 4.0])
def test_against_mmrazor(tau):
    student, teacher = maps(0), maps(9)
    theirs = mmrazor_loss('ChannelWiseDivergence', tau=tau, loss_weight=10.0)
    torch.testing.assert_close(
        CWDLoss(tau, loss_weight=10.0)(student, teacher),
        theirs(student_feats=student, teacher_feats=teacher),
    )


def test_module_is_function_times_weight_times_scale():
    student, teacher = maps(0), maps(9)
    loss = CWDLoss(tau=3.0, loss_weight=6.0)
    loss.scale = 0.5
    expected = 3 * sum(
        cwd_loss(s, t, 3.0).mean() for s, t in zip(student, teacher)
    )
    torch.testing.assert_close(loss(student, teacher), expected)
    nothing = CWDLoss(loss_weight=0.0)(student, teacher)
    assert nothing == 0


def test_masks_reach_the_function():
    student, teacher = maps(0), maps(9)
    mask = torch.zeros(3, 1, 8, 8, dtype=torch.bool)
    mask[..., :5, :6] = True
    value = CWDLoss()(student, teacher, (mask, None, None))
    first = cwd_loss(student[0], teacher[0], 1.0, mask).mean()
    rest = CWDLoss()(student[1:], teacher[1:])
    torch.testing.assert_close(value, first + rest)


def test_fields():
    fields = ('student_feats', 'teacher_feats')
    assert CWDLoss.fields() == (fields, ('feat_masks',))


def test_the_teacher_gets_no_gradient():
    student, teacher = maps(0), maps(9)
    for level in (*student, *teacher):
        level.requires_grad_()
    CWDLoss()(student, teacher).backward()
    assert all(level.grad.abs().max() > 0 for level in student[:2])
    assert all(level.grad is None for level in teacher)


def test_empty_batch():
    student = [level[:0].requires_grad_() for level in maps(0)]
    value = CWDLoss()(student, [level[:0] for level in maps(9)])
    value.backward()
    assert value == 0
    assert all(level.grad.shape == level.shape for level in student)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_inputs_give_float32(dtype):
    student = [x.to(dtype).requires_grad_() for x in maps(0, torch.float32)]
    teacher = [x.to(dtype) for x in maps(9, torch.float32)]
    with torch.autocast('cpu', dtype):
        value = CWDLoss()(student, teacher)
    assert value.dtype == torch.float32
    full = CWDLoss()(
        [x.float() for x in student], [x.float() for x in teacher]
    )
    torch.testing.assert_close(value, full)
    value.backward()
    assert all(level.grad.dtype == dtype for level in student)


@pytest.mark.parametrize(
    'change',
    [
        lambda levels: levels[:-1],
        lambda levels: (),
        lambda levels: [levels[0][:, :1], *levels[1:]],
        lambda levels: [*levels[:-1], levels[-1].expand(-1, -1, 2, 2)],
    ],
    ids=['levels', 'none', 'channels', 'size'],
)
def test_shapes_that_differ(change):
    student, teacher = maps(0), maps(9)
    with pytest.raises(UserError, match='CWDLoss requires equal shapes'):
        CWDLoss()(change(student), teacher)


def test_wrong_temperature():
    with pytest.raises(UserError, match='CWDLoss: tau=0; a finite number'):
        CWDLoss(tau=0)

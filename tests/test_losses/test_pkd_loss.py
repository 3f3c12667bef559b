"""PKDLoss is pkd_loss summed over levels; its factor against mmrazor's."""

import numpy as np
import pytest
import torch
from razor import draw, mmrazor_loss

from kd_det.errors import UserError
from kd_det.functional import pkd_loss
from kd_det.losses import PKDLoss

SHAPES = [(3, 2, 8, 8), (3, 4, 4, 6), (3, 5, 2, 1)]


def maps(seed, dtype=torch.float64):
    return tuple(
        draw(*shape, seed=seed + level, dtype=dtype)
        for level, shape in enumerate(SHAPES)
    )


def by_hand(student, teacher):
    """One minus the mean correlation of a channel, level by level."""
    total = 0
    for s, t in zip(student, teacher, strict=True):
        s, t = s.detach().numpy(), t.detach().numpy()
        channels = [
            1 - np.corrcoef(s[:, c].ravel(), t[:, c].ravel())[0, 1]
            for c in range(s.shape[1])
        ]
        total += sum(channels) / len(channels)
    return total


def test_against_numpy():
    student, teacher = maps(0), maps(9)
    value = PKDLoss()(student, teacher)
    assert value.item() == pytest.approx(by_hand(student, teacher), rel=1e-12)


def test_module_is_function_times_weight_times_scale():
    student, teacher = maps(0), maps(9)
    loss = PKDLoss(loss_weight=6.0)
    loss.scale = 0.5
    expected = 3 * sum(map(pkd_loss, student, teacher))
    torch.testing.assert_close(loss(student, teacher), expected)


def test_fields():
    fields = ('student_feats', 'teacher_feats')
    assert PKDLoss.fields() == (fields, ('feat_masks',))


def test_mean_and_scale_of_a_channel_do_not_count():
    student, teacher = maps(0), maps(9)
    moved = tuple(3 * level + draw(level.shape[1], 1, 1) for level in student)
    loss = PKDLoss()
    torch.testing.assert_close(loss(moved, teacher), loss(student, teacher))
    torch.testing.assert_close(
        loss(moved, student), loss(student, student), atol=1e-12, rtol=0
    )
    opposite = tuple(-level for level in student)
    assert loss(opposite, student).item() == pytest.approx(2 * len(SHAPES))


@pytest.mark.parametrize('shape', [(1, 2, 1, 3), (2, 3, 2, 2), (4, 3, 16, 8)])
def test_the_factor_against_mmrazor(shape):
    """M / (M - 1); large entries, so that its 1e-6 counts for nothing."""
    student, teacher = draw(*shape) * 1e6, draw(*shape, seed=1) * 1e6
    entries = shape[0] * shape[2] * shape[3]
    theirs = mmrazor_loss('PKDLoss')(
        student_feats=(student,), teacher_feats=(teacher,)
    )
    torch.testing.assert_close(
        PKDLoss()((student,), (teacher,)),
        theirs * entries / (entries - 1),
        rtol=1e-11,
        atol=0,
    )


def test_a_single_entry_a_channel():
    """Nothing to correlate: mmrazor has NaN, ours no loss."""
    student, teacher = draw(1, 3, 1, 1).requires_grad_(), draw(1, 3, 1, 1)
    value = PKDLoss()((student,), (teacher,))
    value.backward()
    assert value == 0 and not student.grad.any()
    theirs = mmrazor_loss('PKDLoss')
    value = theirs(student_feats=(student,), teacher_feats=(teacher,))
    assert value.isnan()


def test_gradcheck():
    student, teacher = maps(0), maps(9)
    leaves = [level.requires_grad_() for level in student]
    assert torch.autograd.gradcheck(
        lambda *levels: PKDLoss()(levels, teacher), leaves
    )


def test_the_teacher_gets_no_gradient():
    student, teacher = maps(0), maps(9)
    for level in (*student, *teacher):
        level.requires_grad_()
    PKDLoss()(student, teacher).backward()
    assert all(level.grad.abs().max() > 0 for level in student)
    assert all(level.grad is None for level in teacher)


def test_empty_batch():
    student = [level[:0].requires_grad_() for level in maps(0)]
    value = PKDLoss()(student, [level[:0] for level in maps(9)])
    value.backward()
    assert value == 0
    assert all(level.grad.shape == level.shape for level in student)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_inputs_give_float32(dtype):
    student = [x.to(dtype).requires_grad_() for x in maps(0, torch.float32)]
    teacher = [x.to(dtype) for x in maps(9, torch.float32)]
    with torch.autocast('cpu', dtype):
        value = PKDLoss()(student, teacher)
    assert value.dtype == torch.float32
    full = PKDLoss()(
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
    with pytest.raises(UserError, match=r'connectors=dict\(student') as caught:
        PKDLoss()(change(student), teacher)
    message = str(caught.value)
    assert str([tuple(level.shape) for level in teacher]) in message
    assert message.count('. ') == 0
    with pytest.raises(UserError, match='equal shapes'):
        PKDLoss()((), ())

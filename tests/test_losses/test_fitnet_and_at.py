"""FitNetLoss and AttentionTransferLoss against loops over the entries."""

import numpy as np
import pytest
import torch

from kd_det.errors import UserError
from kd_det.functional import attention_transfer_loss
from kd_det.losses import AttentionTransferLoss, FitNetLoss

SHAPES = [(3, 2, 8, 8), (3, 4, 4, 6), (3, 5, 1, 1)]
# the second and third level are smaller here, or larger, or both
OTHERS = [(3, 2, 8, 8), (3, 4, 2, 12), (3, 5, 2, 2)]
LOSSES = [FitNetLoss, AttentionTransferLoss]
both = pytest.mark.parametrize('loss', LOSSES)


def draw(seed, shapes=SHAPES, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(shape, generator=generator, dtype=dtype)
        for shape in shapes
    )


def pool(x, height, width):
    """Means over cells; the sides divide those of the map."""
    rows, columns = x.shape[1] // height, x.shape[2] // width
    out = np.zeros((len(x), height, width))
    for h in range(height):
        for w in range(width):
            cell = x[
                :,
                h * rows : (h + 1) * rows,
                w * columns : (w + 1) * columns,
            ]
            out[:, h, w] = cell.mean((1, 2))
    return out


def attention(x):
    energy = (x**2).mean(0)
    return energy / np.sqrt((energy**2).sum())


def naive(loss, student_feats, teacher_feats):
    total = 0.0
    for ours, theirs in zip(student_feats, teacher_feats):
        value = 0.0
        for s, t in zip(ours.double().numpy(), theirs.double().numpy()):
            size = (
                min(s.shape[1], t.shape[1]),
                min(s.shape[2], t.shape[2]),
            )
            s, t = pool(s, *size), pool(t, *size)
            if loss is AttentionTransferLoss:
                s, t = attention(s), attention(t)
            value += ((s - t) ** 2).mean()
        total += value / len(ours)
    return total


@both
@pytest.mark.parametrize('shapes', [SHAPES, OTHERS])
def test_oracle(loss, shapes):
    student, teacher = draw(0), draw(1, shapes)
    expected = naive(loss, student, teacher)
    assert expected > 0.01
    assert loss()(student, teacher).item() == pytest.approx(expected)
    assert loss()(teacher, student).item() == pytest.approx(expected)


@both
def test_weight_and_scale(loss):
    student, teacher = draw(0), draw(1)
    weighted = loss(loss_weight=1000.0)
    weighted.scale = 0.5
    torch.testing.assert_close(
        weighted(student, teacher), 500 * loss()(student, teacher)
    )


def test_attention_is_the_function():
    student, teacher = draw(0), draw(1)
    expected = sum(
        attention_transfer_loss(s, t).mean() for s, t in zip(student, teacher)
    )
    value = AttentionTransferLoss()(student, teacher)
    torch.testing.assert_close(value, expected)


@both
def test_fields(loss):
    fields = ('student_feats', 'teacher_feats')
    assert loss.fields() == (fields, ())


def test_who_needs_equal_channels():
    assert FitNetLoss.entrywise and not AttentionTransferLoss.entrywise
    wide = [x.repeat(1, 3, 1, 1) for x in draw(0)]
    value = AttentionTransferLoss()(wide, draw(1))
    torch.testing.assert_close(
        value, AttentionTransferLoss()(draw(0), draw(1))
    )


def test_hint_of_a_constant_gap_and_scale():
    student, teacher = draw(0), draw(1)
    gap = FitNetLoss()([x + 1.5 for x in teacher], teacher)
    assert gap.item() == pytest.approx(len(SHAPES) * 1.5**2)
    scaled = FitNetLoss()([3 * x for x in student], [3 * x for x in teacher])
    torch.testing.assert_close(scaled, 9 * FitNetLoss()(student, teacher))
    assert FitNetLoss()(student, student) == 0


def test_attention_invariants():
    student, teacher = draw(0), draw(1)
    loss = AttentionTransferLoss()
    value = loss(student, teacher)
    for change in (lambda x: 7 * x, lambda x: -x, lambda x: x.flip(1)):
        torch.testing.assert_close(
            loss([change(x) for x in student], teacher), value
        )
    # of two maps of one pixel each is all of its attention
    assert loss(student[2:], teacher[2:]) == 0
    assert value <= sum(2 / (x.shape[2] * x.shape[3]) for x in student)


def test_attention_of_a_dead_map():
    student = [torch.zeros_like(x).requires_grad_() for x in draw(0)]
    value = AttentionTransferLoss()(student, draw(1))
    value.backward()
    assert value.isfinite() and value > 0
    assert all(x.grad.abs().max() == 0 for x in student)


@both
@pytest.mark.parametrize('shapes', [SHAPES, OTHERS])
def test_gradcheck(loss, shapes):
    leaves = [x.requires_grad_() for x in draw(0)]
    teacher = draw(1, shapes)
    assert torch.autograd.gradcheck(
        lambda *levels: loss()(levels, teacher), leaves
    )


@both
def test_the_teacher_gets_no_gradient(loss):
    student, teacher = draw(0), draw(1)
    for level in (*student, *teacher):
        level.requires_grad_()
    loss()(student, teacher).backward()
    assert all(x.grad.abs().max() > 0 for x in student[:2])
    assert all(x.grad is None for x in teacher)


@both
def test_empty_batch(loss):
    student = [x[:0].requires_grad_() for x in draw(0)]
    value = loss()(student, [x[:0] for x in draw(1)])
    value.backward()
    assert value == 0
    assert all(x.grad.shape == x.shape for x in student)


@both
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_inputs_give_float32(loss, dtype):
    student = [x.to(dtype).requires_grad_() for x in draw(0)]
    teacher = [x.to(dtype) for x in draw(1, OTHERS)]
    with torch.autocast('cpu', dtype):
        value = loss()(student, teacher)
    assert value.dtype == torch.float32
    expected = naive(loss, [x.detach() for x in student], teacher)
    assert value.item() == pytest.approx(expected, rel=1e-4)
    value.backward()
    assert all(x.grad.dtype == dtype for x in student)


@both
@pytest.mark.parametrize(('ours', 'theirs'), [(3, 2), (2, 3), (0, 0)])
def test_levels_differ(loss, ours, theirs):
    with pytest.raises(UserError) as caught:
        loss()(draw(0)[:ours], draw(1)[:theirs])
    assert str(caught.value) == (
        f'{loss.__name__} got {ours} maps of the student and {theirs} of the '
        'teacher; set the same number of tap points for both, at least one.'
    )


def test_channels_differ():
    student = [x.repeat(1, 2, 1, 1) for x in draw(0)]
    with pytest.raises(UserError) as caught:
        FitNetLoss()(student, draw(1))
    message = str(caught.value)
    assert '[(3, 4), (3, 8), (3, 10)] and teacher_feats [(3, 2)' in message
    assert "student_feats=dict(type='ConvAdaptor')" in message

"""ReviewKDLoss is hcl_loss; invariants H; shapes that do not fit."""

import pytest
import torch

from kd_det.errors import UserError
from kd_det.functional import hcl_loss
from kd_det.losses import ReviewKDLoss

SHAPES = [(3, 2, 8, 8), (3, 4, 4, 6), (3, 5, 1, 1)]


def draw(seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(shape, generator=generator, dtype=dtype)
        for shape in SHAPES
    )


def test_module_is_function_times_weight_times_scale():
    student, teacher = draw(0), draw(1)
    loss = ReviewKDLoss(loss_weight=8.0)
    loss.scale = 0.5
    expected = 4 * hcl_loss(student, teacher).mean()
    torch.testing.assert_close(loss(student, teacher), expected)


def test_fields():
    fields = ('student_feats', 'teacher_feats')
    assert ReviewKDLoss.fields() == (fields, ())


def test_h1_h2_h6():
    student, teacher = draw(0), draw(1)
    loss = ReviewKDLoss()
    assert loss(student, student) == 0
    scaled = loss([3 * x for x in student], [3 * x for x in teacher])
    torch.testing.assert_close(scaled, 9 * loss(student, teacher))
    assert loss(student, teacher) == loss(teacher, student)


def test_h3_constant_gap():
    teacher = draw(1)
    value = ReviewKDLoss()([x + 1.5 for x in teacher], teacher)
    assert value.item() == pytest.approx(len(SHAPES) * 1.5**2)


@pytest.mark.parametrize(('side', 'total'), [(8, 1.875), (4, 1.75), (2, 1.5)])
def test_h4_h5_checkerboard(side, total):
    """Every coarser view of a checkerboard is 0."""
    board = torch.arange(side)[:, None] + torch.arange(side)
    board = (board % 2 * 2.0 - 1).expand(2, 3, side, side)
    value = ReviewKDLoss()([board], [torch.zeros_like(board)])
    assert value.item() == pytest.approx(1 / total)


def test_gradcheck():
    student, teacher = draw(0), draw(1)
    leaves = [x.requires_grad_() for x in student]
    assert torch.autograd.gradcheck(
        lambda *levels: ReviewKDLoss()(levels, teacher), leaves
    )


def test_the_teacher_gets_no_gradient():
    student, teacher = draw(0), draw(1)
    for level in (*student, *teacher):
        level.requires_grad_()
    ReviewKDLoss()(student, teacher).backward()
    assert all(level.grad.abs().max() > 0 for level in student)
    assert all(level.grad is None for level in teacher)


def test_empty_batch():
    student = [x[:0].requires_grad_() for x in draw(0)]
    value = ReviewKDLoss()(student, [x[:0] for x in draw(1)])
    value.backward()
    assert value == 0
    assert all(level.grad.shape == level.shape for level in student)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_inputs_give_float32(dtype):
    student, teacher = draw(0, torch.float32), draw(1, torch.float32)
    student = [x.to(dtype).requires_grad_() for x in student]
    teacher = [x.to(dtype) for x in teacher]
    with torch.autocast('cpu', dtype):
        value = ReviewKDLoss()(student, teacher)
    assert value.dtype == torch.float32
    full = hcl_loss([x.float() for x in student], [x.float() for x in teacher])
    torch.testing.assert_close(value, full.mean())
    value.backward()
    assert all(level.grad.dtype == dtype for level in student)


@pytest.mark.parametrize(
    'change',
    [
        lambda maps: maps[:-1],
        lambda maps: [maps[0][:, :1], *maps[1:]],
        lambda maps: [*maps[:-1], maps[-1].expand(-1, -1, 2, 2)],
    ],
    ids=['levels', 'channels', 'size'],
)
def test_shapes_that_differ_name_the_connector(change):
    student, teacher = draw(0), draw(1)
    with pytest.raises(UserError) as caught:
        ReviewKDLoss()(change(student), teacher)
    message = str(caught.value)
    assert "student_feats=dict(type='ABFConnector')" in message
    assert str([tuple(x.shape) for x in teacher]) in message
    assert message.count('. ') == 0


def test_no_level():
    with pytest.raises(ValueError, match='at least one'):
        ReviewKDLoss()((), ())

"""The losses of queries: weighted means, by hand."""

import pytest
import torch
from razor import draw

from kd_det.errors import UserError
from kd_det.functional import query_box_loss, sigmoid_kd_loss
from kd_det.losses import QueryBoxLoss, QueryKDLoss

M, K = 9, 3


def given(name, count=M):
    """Loss, its field of the student, and its other arguments."""
    weights = draw(count, seed=7).abs()
    if name == 'class':
        logits = draw(count, K, seed=8)
        return QueryKDLoss(tau=2.0), draw(count, K), (logits, weights)
    boxes = draw(2, count, 4, seed=1).abs() + 0.1
    return QueryBoxLoss(3.0, 0.5), boxes[0], (boxes[1], weights)


NAMES = pytest.mark.parametrize('name', ['class', 'box'])


@NAMES
def test_by_hand(name):
    """Query by query."""
    loss, student, rest = given(name)
    total = weights = 0.0
    for m in range(M):
        row = slice(m, m + 1)
        if name == 'class':
            value = sigmoid_kd_loss(student[row], rest[0][row], 2.0)
        else:
            value = query_box_loss(student[row], rest[0][row], 3.0, 0.5)
        weight = rest[1][m].item()
        total += weight * value.item()
        weights += weight
    assert loss(student, *rest).item() == pytest.approx(total / weights, 1e-9)


@NAMES
def test_weight_scale_and_gradients(name):
    loss, student, rest = given(name)
    plain = loss(student, *rest)
    loss.loss_weight, loss.scale = 6.0, 0.5
    torch.testing.assert_close(loss(student, *rest), 3 * plain)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, *rest), student)
    teacher = rest[0].clone().requires_grad_()
    loss(student, teacher, rest[1]).backward()
    assert teacher.grad is None


@NAMES
def test_no_query(name):
    loss, student, rest = given(name, count=0)
    student.requires_grad_()
    value = loss(student, *rest)
    value.backward()
    assert value == 0 and student.grad.shape == student.shape


@pytest.mark.parametrize(
    'make, message',
    [
        (lambda: QueryKDLoss(tau=0), 'QueryKDLoss: tau=0; a finite number'),
        (lambda: QueryBoxLoss(l1_weight=-1), 'QueryBoxLoss: l1_weight=-1'),
        (lambda: QueryBoxLoss(giou_weight='2'), "giou_weight='2'; a finite"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(UserError, match=message):
        make()

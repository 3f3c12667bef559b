"""DistillLoss: fields, weight, scale and the one reducer."""

import pytest
import torch
from torch import Tensor

from kd_det.errors import UserError
from kd_det.losses import DistillLoss, KDLoss, NDLoss, SIFNLoss


class Plain(DistillLoss):
    def forward(self, student_x: Tensor, labels: Tensor, extra=None):
        return self.mean(student_x)


def test_fields_are_the_parameters_of_forward():
    assert Plain.fields().required == ('student_x', 'labels')
    assert Plain.fields().optional == ('extra',)
    assert NDLoss.fields().required == (
        'student_embed',
        'teacher_embed',
        'centroids',
        'labels',
    )
    assert NDLoss.fields().optional == ('foreground',)
    assert KDLoss.fields().optional == ()


def test_mean_times_weight_times_scale():
    loss = Plain(loss_weight=3.0)
    loss.scale = 0.5
    values = torch.tensor([1.0, 2.0, 6.0], requires_grad=True)
    assert loss.mean(values).item() == 3.0 * 0.5 * 3.0
    assert loss.weigh(values[2]).item() == 9.0
    loss.mean(values).backward()
    assert values.grad.tolist() == [0.5] * 3


def test_mean_over_the_rows_kept():
    values = torch.tensor([1.0, 2.0, 6.0, 4.0], requires_grad=True)
    keep = torch.tensor([True, False, True, False])
    mean = Plain().mean(values, keep)
    assert mean.item() == 3.5
    mean.backward()
    assert values.grad.tolist() == [0.5, 0, 0.5, 0]


def test_a_dropped_row_may_hold_anything():
    rows = torch.tensor([2.0, 0.0, 0.0], requires_grad=True)
    values = torch.stack([rows[0], rows[1] / 0, rows[2] * float('inf')])
    mean = Plain().mean(values, torch.tensor([True, False, False]))
    assert mean.item() == 2
    # the reducer hands such a row no gradient at all
    grad = torch.autograd.grad(mean, values)[0]
    assert grad.tolist() == [1, 0, 0]


def test_a_kept_nan_is_not_masked():
    values = torch.tensor([1.0, float('nan')])
    assert Plain().mean(values).isnan()
    assert Plain().mean(values, torch.tensor([True, True])).isnan()


@pytest.mark.parametrize('keep', [None, torch.zeros(0, dtype=torch.bool)])
def test_empty(keep):
    values = torch.zeros(0, requires_grad=True)
    mean = Plain(2.0).mean(values * 3, keep)
    assert mean.item() == 0 and mean.shape == ()
    mean.backward()
    assert values.grad.shape == (0,)


def test_nothing_kept():
    values = torch.ones(3, requires_grad=True)
    mean = Plain().mean(values, torch.zeros(3, dtype=torch.bool))
    mean.backward()
    assert mean.item() == 0
    assert values.grad.tolist() == [0] * 3


def test_zero_weight_is_an_exact_zero():
    values = torch.randn(5, requires_grad=True)
    mean = Plain(loss_weight=0.0).mean(values)
    mean.backward()
    assert mean.item() == 0 and values.grad.abs().max() == 0


def test_state_is_empty_but_for_memory():
    assert Plain().state_dict() == {}
    assert list(SIFNLoss(3).state_dict()) == ['previous_norms']


@pytest.mark.parametrize('weight', ['1', None, [1]])
def test_weight_is_a_number(weight):
    with pytest.raises(UserError, match='KDLoss: loss_weight=.*finite number'):
        KDLoss(loss_weight=weight)

"""TeacherBoundedLoss: the function, averaged over all RoIs."""

import pytest
import torch
from razor import draw

from kd_det.errors import UserError
from kd_det.functional import teacher_bounded_loss
from kd_det.losses import TeacherBoundedLoss


def given(count=9):
    """Deltas of which every third row is background."""
    deltas = draw(3, count, 4)
    deltas[:, ::3] = 0
    return deltas


def test_module_is_function_times_weight_over_all_rois():
    s, t, y = given()
    loss = TeacherBoundedLoss(margin=0.5, loss_weight=3.0)
    per_roi = teacher_bounded_loss(s, t, y, 0.5)
    assert 0 < per_roi.count_nonzero() < 9
    torch.testing.assert_close(loss(s, t, y), 3 * per_roi.sum() / 9)
    plain = TeacherBoundedLoss()
    expected = 0.5 * teacher_bounded_loss(s, t, y).mean()
    torch.testing.assert_close(plain(s, t, y), expected)


def test_empty_batch_and_half_precision():
    s, t, y = given(0)
    value = TeacherBoundedLoss()(s.requires_grad_(), t, y)
    value.backward()
    assert value == 0 and s.grad.shape == s.shape
    value = TeacherBoundedLoss()(*given().half())
    assert value.dtype == torch.float32


def test_wrong_margin():
    with pytest.raises(UserError, match='TeacherBoundedLoss: margin=-1'):
        TeacherBoundedLoss(margin=-1)

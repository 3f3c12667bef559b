"""The losses of one-stage heads: weight, divisor, masks."""

import pytest
import torch

from kd_det.errors import UserError
from kd_det.functional import ld_loss, sigmoid_kd_loss
from kd_det.losses import DenseKDLoss, LDLoss, SDDLoss, SigmoidKDLoss

M, K = 9, 4


@pytest.fixture
def rows():
    generator = torch.Generator().manual_seed(0)
    s, t = torch.randn(2, M, K, generator=generator)
    foreground = torch.arange(M) % 3 == 0
    return s, t, foreground


def test_sigmoid_kd(rows):
    s, t, _ = rows
    loss = SigmoidKDLoss(tau=2.0, loss_weight=3.0)
    expected = 3 * sigmoid_kd_loss(s, t, 2.0).mean()
    torch.testing.assert_close(loss(s, t), expected)
    assert SigmoidKDLoss.fields().required == (
        'student_logits',
        'teacher_logits',
    )


def test_dense_kd_is_over_all_rows_and_divides_by_the_objects(rows):
    s, t, foreground = rows
    loss = DenseKDLoss(tau=2.0, gamma=1.0, loss_weight=3.0)
    total = sigmoid_kd_loss(s, t, 2.0, 1.0).sum()
    torch.testing.assert_close(loss(s, t, foreground), 3 * total / 3)
    nothing = torch.zeros(M, dtype=torch.bool)
    torch.testing.assert_close(loss(s, t, nothing), 3 * total)


def test_what_is_masked_may_hold_anything(rows):
    s, t, foreground = rows
    mask = torch.arange(M) < 6
    spoilt = s.clone()
    spoilt[6:] = float('nan')
    spoilt.requires_grad_()
    loss = DenseKDLoss(gamma=0)
    value = loss(torch.where(mask[:, None], spoilt, 0.0), t, foreground, mask)
    expected = sigmoid_kd_loss(s[:6], t[:6]).sum() / 3
    torch.testing.assert_close(value, expected)


def test_ld():
    s, t = torch.randn(2, 5, 4, 8, generator=torch.Generator().manual_seed(1))
    loss = LDLoss(tau=5.0, loss_weight=2.0)
    torch.testing.assert_close(loss(s, t), 2 * ld_loss(s, t, 5.0).mean())
    empty = torch.zeros(0, 4, 8, requires_grad=True)
    value = loss(empty, empty.detach())
    value.backward()
    assert value == 0


def test_sdd_over_marked_regions():
    """Loops over the regions that count, against the module."""
    n, r = 5, 3
    generator = torch.Generator().manual_seed(2)
    s, t = torch.randn(2, n, K, r, generator=generator)
    labels = torch.tensor([0, 1, 2, 3, 1])
    mask = torch.rand(n, r, generator=generator) < 0.5
    mask[:, 0] = True
    mask[3] = False
    loss = SDDLoss(dict(type='SigmoidKDLoss'), beta=2.0, loss_weight=3.0)
    total, count = 0.0, 0
    for i in range(n):
        for j in range(r):
            if not mask[i, j]:
                continue
            right = [t[i, :, k].argmax() == labels[i] for k in (0, j)]
            weight = 1.0 if right[0] == right[1] else 2.0
            value = sigmoid_kd_loss(s[i : i + 1, :, j], t[i : i + 1, :, j])
            total, count = total + weight * value.item(), count + 1
    value = loss(s, t, labels, mask)
    torch.testing.assert_close(value, torch.tensor(3 * total / count))
    everything = torch.ones(n, r, dtype=torch.bool)
    torch.testing.assert_close(
        loss(s, t, labels, everything), loss(s, t, labels)
    )


@pytest.mark.parametrize(
    'build, message',
    [
        (lambda: SigmoidKDLoss(tau=0), 'tau=0'),
        (lambda: DenseKDLoss(gamma=0.5), 'gamma=0.5'),
        (lambda: DenseKDLoss(gamma=-1), 'gamma=-1'),
        (lambda: LDLoss(tau=-1), 'tau=-1'),
        (lambda: LDLoss(loss_weight=float('nan')), 'finite number'),
    ],
)
def test_refusals(build, message):
    with pytest.raises(UserError, match=message):
        build()

"""The losses of CrossKD: normalisers, weights, masks, by hand."""

import pytest
import torch
from razor import draw

from kd_det.errors import UserError
from kd_det.functional import crosskd_box_loss, crosskd_class_loss, ld_loss
from kd_det.losses import CrossKDBoxLoss, CrossKDClassLoss, CrossKDEdgeLoss

M, K, B = 9, 3, 5
FOREGROUND = torch.arange(M) % 4 == 0  # three
MASK = torch.arange(M) < 7


def boxes(seed, count=M):
    corner = draw(count, 2, seed=seed) * 3
    return torch.cat([corner, corner + 2], 1)


def given(name, count=M, seed=0):
    """Loss, its field of the student, and its other arguments."""
    logits = draw(count, K, seed=7)
    if name == 'class':
        loss = CrossKDClassLoss()
        return loss, draw(count, K, seed=seed), (logits, FOREGROUND[:count])
    if name == 'box':
        return CrossKDBoxLoss(), boxes(seed, count), (boxes(8, count), logits)
    corners = draw(count, 4, B, seed=8)
    return CrossKDEdgeLoss(), draw(count, 4, B, seed=seed), (corners, logits)


NAMES = pytest.mark.parametrize('name', ['class', 'box', 'edge'])


def by_hand(name, cross, rest, mask=None):
    """Location by location."""
    total = weights = 0.0
    for m in range(len(cross)):
        if mask is not None and not mask[m]:
            continue
        row = slice(m, m + 1)
        if name == 'class':
            total += crosskd_class_loss(cross[row], rest[0][row]).item()
        else:
            call = (
                crosskd_box_loss(cross[row], rest[0][row])
                if name == 'box'
                else ld_loss(cross[row], rest[0][row], 1.0)
            )
            weight = max(1 / (1 + (-z).exp().item()) for z in rest[1][m])
            total += weight * call.item()
            weights += weight
    return total / (3 if name == 'class' else weights)


@NAMES
@pytest.mark.parametrize('mask', [None, MASK], ids=['whole', 'mask'])
def test_by_hand(name, mask):
    loss, cross, rest = given(name)
    value = loss(cross, *rest, mask).item()
    assert value == pytest.approx(by_hand(name, cross, rest, mask), rel=1e-9)


@NAMES
def test_weight_and_scale(name):
    loss, cross, rest = given(name)
    plain = loss(cross, *rest)
    loss.loss_weight, loss.scale = 6.0, 0.5
    torch.testing.assert_close(loss(cross, *rest), 3 * plain)
    loss.loss_weight = 0.0
    assert loss(cross, *rest) == 0


@NAMES
def test_padding_does_not_count(name):
    """Not even NaN."""
    loss, cross, rest = given(name)
    expected = loss(cross, *rest, MASK)
    wild = cross.clone()
    wild[~MASK] = torch.nan
    torch.testing.assert_close(loss(wild, *rest, MASK), expected)


@NAMES
def test_gradients(name):
    loss, cross, rest = given(name)
    cross.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, *rest, MASK), cross)
    teacher = rest[0].clone().requires_grad_()
    loss(cross, teacher, *rest[1:]).backward()
    assert cross.grad.abs().max() > 0 and teacher.grad is None


@NAMES
def test_empty_batch(name):
    loss, cross, rest = given(name, count=0)
    cross.requires_grad_()
    value = loss(cross, *rest)
    value.backward()
    assert value == 0 and cross.grad.shape == cross.shape


@NAMES
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_inputs_give_float32(name, dtype):
    loss, cross, rest = given(name)
    cross = cross.to(dtype).requires_grad_()
    rest = [x.to(dtype) if x.is_floating_point() else x for x in rest]
    with torch.autocast('cpu', dtype):
        value = loss(cross, *rest)
    assert value.dtype == torch.float32
    full = [x.float() if x.is_floating_point() else x for x in rest]
    torch.testing.assert_close(value, loss(cross.float(), *full))
    value.backward()
    assert cross.grad.dtype == dtype


def test_without_foreground():
    loss, cross, (logits, _) = given('class')
    none = torch.zeros(M, dtype=torch.bool)
    expected = crosskd_class_loss(cross, logits).sum()
    torch.testing.assert_close(loss(cross, logits, none), expected)


@pytest.mark.parametrize(
    'make, message',
    [
        (lambda: CrossKDClassLoss(beta=0.5), 'beta=0.5; 0 or a number of at'),
        (lambda: CrossKDClassLoss(beta=-1), 'CrossKDClassLoss: beta=-1'),
        (lambda: CrossKDEdgeLoss(tau=0), 'CrossKDEdgeLoss: tau=0'),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(UserError, match=message):
        make()

"""BCKD's losses against loops in NumPy, and what they share with others."""

import numpy as np
import pytest
import torch
from razor import draw

from kd_det.functional import sigmoid_kd_loss
from kd_det.losses import BCKDBoxLoss, BCKDClassLoss

M, K = 9, 3
FOREGROUND = torch.arange(M) % 4 == 0  # three
MASK = torch.arange(M) < 7


def boxes(seed, count=M):
    corner = draw(count, 2, seed=seed) * 3
    return torch.cat([corner, corner + 2], 1)


def given(name, count=M):
    """Loss, what it trains, and its other arguments."""
    ours, theirs = draw(count, K, seed=1), draw(count, K, seed=2)
    foreground = FOREGROUND[:count]
    if name == 'class':
        return BCKDClassLoss(), ours, (theirs, foreground)
    rest = boxes(4, count), ours, theirs, foreground
    return BCKDBoxLoss(), boxes(3, count), rest


NAMES = pytest.mark.parametrize('name', ['class', 'box'])


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits.numpy()))


def giou(a, b):
    def area(x, y):
        return max(x[1] - x[0], 0) * max(y[1] - y[0], 0)

    shared = area(
        (max(a[0], b[0]), min(a[2], b[2])), (max(a[1], b[1]), min(a[3], b[3]))
    )
    around = area(
        (min(a[0], b[0]), max(a[2], b[2])), (min(a[1], b[1]), max(a[3], b[3]))
    )
    union = area(a[::2], a[1::2]) + area(b[::2], b[1::2]) - shared
    return shared / union - (around - union) / around


@NAMES
@pytest.mark.parametrize('mask', [None, MASK], ids=['whole', 'mask'])
def test_by_hand(name, mask):
    loss, ours, rest = given(name)
    logits = (ours, rest[0]) if name == 'class' else rest[1:3]
    p, q = map(sigmoid, logits)  # student and teacher
    total = 0.0
    for m in range(M):
        if mask is not None and not mask[m]:
            continue
        if name == 'class':
            for k in range(K):
                entropy = -q[m, k] * np.log(p[m, k])
                entropy -= (1 - q[m, k]) * np.log(1 - p[m, k])
                total += abs(q[m, k] - p[m, k]) * entropy
        else:
            overlap = giou(ours[m].tolist(), rest[0][m].tolist())
            total += max(abs(q[m] - p[m])) * (1 - overlap)
    assert loss(ours, *rest, mask).item() == pytest.approx(total / 3)


@NAMES
def test_gradients(name):
    loss, ours, rest = given(name)
    ours.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, *rest, MASK), ours)
    others = [x.clone().requires_grad_() for x in rest[:-1]]
    loss(ours, *others, rest[-1]).backward()
    assert all(x.grad is None for x in others)


@NAMES
def test_empty_batch_half_precision_and_weight(name):
    loss, ours, rest = given(name, count=0)
    value = loss(ours.requires_grad_(), *rest)
    value.backward()
    assert value == 0 and ours.grad.shape == ours.shape
    loss, ours, rest = given(name)
    half = [x.half() if x.is_floating_point() else x for x in (ours, *rest)]
    assert loss(*half).dtype == torch.float32
    plain = loss(ours, *rest)
    loss.loss_weight = 4.0
    torch.testing.assert_close(loss(ours, *rest), 4 * plain)


def test_the_optimum_is_the_teacher():
    """Unlike with a softmax, whose logits may all be shifted."""
    loss, _, (theirs, foreground) = given('class')
    assert loss(theirs, theirs, foreground) == 0
    assert loss(theirs + 1, theirs, foreground) > 0
    # the divergence of DenseKDLoss is less: it has not the target's entropy
    ours = theirs + 0.3
    less = sigmoid_kd_loss(ours, theirs, gamma=1.0).sum() / 3
    assert loss(ours, theirs, foreground) > less

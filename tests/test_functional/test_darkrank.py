"""DarkRank against explicit loops, its invariants and its edges."""

import math

import numpy as np
import pytest
import torch
from functional_toy import draw

from kd_det.functional import darkrank_loss

N = 9


def pair(n=N):
    """Embeddings of different widths."""
    return draw(n, 3), draw(n, 5, seed=1)


def close(actual, expected, **tolerance):
    expected = torch.as_tensor(expected, dtype=torch.float64)
    tolerance = {'rtol': 1e-11, 'atol': 1e-13, **tolerance}
    torch.testing.assert_close(actual.double(), expected, **tolerance)


def gradient(student, teacher, *args):
    student = student.detach().clone().requires_grad_()
    darkrank_loss(student, teacher, *args).backward()
    return student.grad


def oracle(student, teacher, alpha=3.0, beta=3.0, length=4):
    """The definition, a sample, a place and a rival at a time."""
    student, teacher = np.asarray(student), np.asarray(teacher)
    total = 0.0
    for i in range(len(student)):
        others = [j for j in range(len(student)) if j != i]
        others.sort(key=lambda j: math.dist(teacher[i], teacher[j]))
        chosen = others[:length]
        score = {
            j: -alpha * math.dist(student[i], student[j]) ** beta
            for j in chosen
        }
        for place, j in enumerate(chosen):
            rivals = sum(math.exp(score[m]) for m in chosen[place:])
            total -= math.log(math.exp(score[j]) / rivals)
    return total / len(student)


@pytest.mark.parametrize('n', [3, 4, 5, 6, 20])
@pytest.mark.parametrize(
    'args', [(), (2.0,), (3.0, 1.0), (0.5, 2.5, 2), (0.1, 3.0, 8)]
)
def test_oracle(n, args):
    student, teacher = pair(n)
    student = student * 0.3  # or the oracle's exponentials underflow
    expected = oracle(student, teacher, *args)
    close(darkrank_loss(student, teacher, *args), expected)


def test_by_hand():
    # Distances of the student from row 0 are 1 and 2, from row 1 they are 1
    # and 1, from row 2 they are 2 and 1; lists of two, alpha = beta = 1.
    student = torch.tensor([[0.0], [1.0], [2.0]]).double()
    teacher = torch.tensor([[0.0], [1.0], [3.0]]).double()
    right, even = math.log(1 + math.exp(-1)), math.log(2)
    close(darkrank_loss(student, teacher, 1.0, 1.0, 2), (2 * right + even) / 3)


@pytest.mark.parametrize('args', [(), (0.5, 1.0, 8)])
def test_gradcheck(args):
    student, teacher = pair()
    student.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: darkrank_loss(x, teacher, *args), student
    )


def rotated(x, seed=3):
    width = x.shape[1]
    return x @ torch.linalg.qr(draw(width, width, seed=seed)).Q


def test_rotation_shift_and_padding_change_nothing():
    student, teacher = pair()
    value = darkrank_loss(student, teacher)
    close(darkrank_loss(rotated(student) + draw(3, seed=4), teacher), value)
    moved = 2.5 * rotated(teacher) + draw(5, seed=4)  # its scale is free, too
    close(darkrank_loss(student, moved), value)
    wider = torch.cat([student, torch.zeros(N, 2).double()], 1)
    close(darkrank_loss(wider, teacher), value)


def test_the_scale_of_the_student_counts():
    student, teacher = pair()
    value = darkrank_loss(student, teacher)
    close(darkrank_loss(2 * student, teacher, alpha=3 / 8), value)
    assert abs(darkrank_loss(2 * student, teacher) - value) > 1


def test_permutation_of_the_batch():
    student, teacher = pair()
    order = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    value = darkrank_loss(student, teacher)
    close(darkrank_loss(student[order], teacher[order]), value)
    close(
        gradient(student[order], teacher[order]),
        gradient(student, teacher)[order],
    )


def test_only_the_order_of_the_teacher_counts():
    line = torch.tensor([0.0, 1.0, 2.5, 4.5, 7.0, 10.0]).double()[:, None]
    bent = torch.tensor([0.0, 1.0, 2.1, 3.3, 4.6, 6.0]).double()[:, None]
    student = draw(6, 3)
    value = darkrank_loss(student, line, list_length=3)
    close(darkrank_loss(student, bent, list_length=3), value)


def test_a_student_that_ranks_alike_loses_less():
    teacher = torch.tensor([[0.0], [1.0], [3.0]]).double()
    alike = 0.4 * teacher
    # sides 1, 0.6, 0.8: for each corner the nearer one is the other one
    contrary = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.36, 0.48]]).double()
    chance = 2 * torch.eye(3).double()
    losses = [
        darkrank_loss(student, teacher)
        for student in (alike, chance, contrary)
    ]
    assert losses == sorted(losses)
    close(losses[1], math.log(2))


def test_a_step_downhill_ranks_better():
    student, teacher = pair()
    before = darkrank_loss(student, teacher)
    student = student - 1e-3 * gradient(student, teacher)
    assert darkrank_loss(student, teacher) < before


def test_descent_reaches_the_order_of_the_teacher():
    teacher = draw(6, 2)
    student = draw(6, 2, seed=1).requires_grad_()
    optimizer = torch.optim.Adam([student], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        darkrank_loss(student, teacher, list_length=5).backward()
        optimizer.step()
    orders = [torch.cdist(x, x).argsort(1) for x in (student, teacher)]
    assert torch.equal(*orders)


def test_all_as_far_from_each_other_is_chance():
    """Each order of K is as likely: the loss is log K!."""
    student = torch.zeros(N, 3).double()
    close(darkrank_loss(student, draw(N, 5)), math.log(math.factorial(4)))


def test_the_teacher_gets_no_gradient():
    student, teacher = (side.requires_grad_() for side in pair())
    darkrank_loss(student, teacher).backward()
    assert student.grad.any() and teacher.grad is None


def test_the_gradient_has_no_translation():
    assert gradient(*pair()).sum(0).abs().max() < 1e-12


@pytest.mark.parametrize('beta', [1.0, 1.5, 3.0])
@pytest.mark.parametrize('gap', [0.0, 1e-12, 1e-7])
def test_duplicates_have_no_large_gradient(beta, gap):
    student, teacher = pair()
    student[3] = student[0] + gap
    grad = gradient(student, teacher, 3.0, beta)
    assert grad.isfinite().all()
    # at most alpha beta d^(beta - 1) a pair, on both sides of it
    widest = torch.cdist(student, student).max()
    assert grad.abs().max() <= 3 * beta * widest ** (beta - 1) * 8


def test_duplicates_of_the_teacher_are_ranked_by_their_number():
    student, teacher = pair()
    teacher[5] = teacher[2]
    expected = oracle(student * 0.3, teacher)  # Python's sort keeps ties, too
    close(darkrank_loss(student * 0.3, teacher), expected)
    # a sample is no neighbour of itself, however many equal it
    same = torch.zeros(N, 5).double()
    close(darkrank_loss(student * 0.3, same), oracle(student * 0.3, same))


@pytest.mark.parametrize('n', [0, 1, 2])
def test_no_order_among_fewer_than_three(n):
    student = draw(n, 3).requires_grad_()
    value = darkrank_loss(student, draw(n, 5))
    value.backward()
    assert value == 0 and torch.equal(student.grad, torch.zeros(n, 3).double())


def test_far_apart_and_far_away():
    """Neither overflow of the exponential nor cancellation of an offset."""
    student, teacher = pair()
    value = darkrank_loss((student * 1e3).float(), teacher.float())
    assert value.isfinite() and value > 1e6
    offset = torch.tensor([1000.0, -2000.0, 500.0])
    exact = (student * 0.01).float() + offset
    close(
        darkrank_loss(exact, teacher, 3e6),
        darkrank_loss(exact.double(), teacher, 3e6),
        rtol=1e-6,
    )
    assert gradient(exact, teacher.float(), 3e6).isfinite().all()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    student, teacher = (side.to(dtype) for side in pair())
    with torch.autocast('cpu', torch.bfloat16):
        value = darkrank_loss(student * 0.25, teacher)
    assert value.dtype == torch.float32
    close(value, oracle(student.double() * 0.25, teacher.double()), rtol=1e-6)


@pytest.mark.parametrize('side', [0, 1])
def test_nan_is_not_masked(side):
    sides = pair()
    sides[side][4, 1] = torch.nan
    assert darkrank_loss(*sides).isnan()


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (dict(beta=0.5), 'beta must be 1 or above, got 0.5'),
        (dict(list_length=1), 'list_length must be at least 2, got 1'),
    ],
)
def test_what_has_no_meaning_is_refused(args, message):
    with pytest.raises(ValueError, match=message):
        darkrank_loss(*pair(), **args)

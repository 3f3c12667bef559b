"""Losses on relations: the group they relate, by loops; what they refuse."""

import itertools
import math

import numpy as np
import pytest
import torch

from kd_det.errors import UserError
from kd_det.functional import (
    darkrank_loss,
    rkd_angle_loss,
    rkd_distance_loss,
)
from kd_det.losses import DarkRankLoss, RKDAngleLoss, RKDDistanceLoss

N = 7
CASES = [
    (RKDDistanceLoss, rkd_distance_loss),
    (RKDAngleLoss, rkd_angle_loss),
    (DarkRankLoss, darkrank_loss),
]
each_case = pytest.mark.parametrize(('loss', 'function'), CASES)
each_loss = pytest.mark.parametrize('loss', [loss for loss, _ in CASES])


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.fixture
def pair():
    """Embeddings of different widths."""
    return draw(N, 3), draw(N, 5, seed=1)


def huber(gap):
    return gap * gap / 2 if abs(gap) <= 1 else abs(gap) - 0.5


def distances(x):
    table = [[math.dist(a, b) for b in x] for a in x]
    mean = sum(map(sum, table)) / (len(x) * (len(x) - 1))
    return [value / mean for row in table for value in row]


def angles(x):
    out = []
    for i, j, k in itertools.product(range(len(x)), repeat=3):
        one, other = np.subtract(x[j], x[i]), np.subtract(x[k], x[i])
        lengths = np.linalg.norm(one) * np.linalg.norm(other)
        out.append(float(one @ other / lengths) if lengths else 0.0)
    return out


def ranking(student, teacher):
    total = 0.0
    for i, (mine, theirs) in enumerate(zip(student, teacher)):
        others = [j for j in range(len(student)) if j != i]
        others.sort(key=lambda j: math.dist(theirs, teacher[j]))
        scores = [-3 * math.dist(mine, student[j]) ** 3 for j in others[:4]]
        for k, score in enumerate(scores):
            best = max(scores[k:])
            rivals = sum(math.exp(rival - best) for rival in scores[k:])
            total += best + math.log(rivals) - score
    return total / len(student)


def naive(loss, student, teacher):
    if loss is DarkRankLoss:
        return ranking(student.tolist(), teacher.tolist())
    relations = distances if loss is RKDDistanceLoss else angles
    ours, theirs = relations(student.tolist()), relations(teacher.tolist())
    return sum(huber(a - b) for a, b in zip(ours, theirs)) / len(ours)


@each_loss
def test_oracle(loss, pair):
    value = loss()(*pair).item()
    assert value == pytest.approx(naive(loss, *pair), rel=1e-10)


@each_case
def test_module_is_function_times_weight_times_scale(loss, function, pair):
    weighted = loss(loss_weight=25.0)
    weighted.scale = 0.5
    torch.testing.assert_close(weighted(*pair), 12.5 * function(*pair))


@each_loss
def test_fields(loss):
    required = ('student_embed', 'teacher_embed')
    assert loss.fields() == (required, ('foreground', 'rois'))
    assert not loss.entrywise


@each_loss
def test_rows_of_length_1(loss, pair):
    """As the authors relate the features of classifiers."""
    unit = [rows / rows.norm(dim=1, keepdim=True) for rows in pair]
    value = loss(normalize=True)(*pair).item()
    assert value == pytest.approx(naive(loss, *unit), rel=1e-10)
    assert value != pytest.approx(loss()(*pair).item(), rel=1e-3)


@each_loss
def test_a_row_of_zeros_has_no_direction_and_no_gradient(loss, pair):
    student = pair[0].index_fill(0, torch.tensor([2]), 0).requires_grad_()
    value = loss(normalize=True)(student, pair[1])
    value.backward()
    assert value.isfinite() and student.grad.isfinite().all()
    assert not student.grad[2].any() and student.grad[3].any()


@each_case
def test_foreground_alone(loss, function, pair):
    mask = torch.tensor([1, 0, 1, 1, 0, 1, 0]).bool()
    student, teacher = pair
    student.requires_grad_()
    value = loss(background='foreground')(student, teacher, mask)
    expected = function(student[[0, 2, 3, 5]], teacher[[0, 2, 3, 5]])
    torch.testing.assert_close(value, expected)
    value.backward()
    assert torch.equal(student.grad.any(1), mask)
    torch.testing.assert_close(loss()(*pair, mask), function(*pair))


def iou(one, other):
    low = [max(a, b) for a, b in zip(one[:2], other[:2])]
    high = [min(a, b) for a, b in zip(one[2:], other[2:])]
    shared = math.prod(max(b - a, 0) for a, b in zip(low, high))
    areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (one, other)]
    return shared / (sum(areas) - shared)


def survivors(rois, counts):
    """Rows that overlap no earlier one of their image that counts."""
    rows = [row for row in range(len(rois)) if counts[row]]
    return [
        row
        for row in rows
        if all(
            rois[row][0] != rois[early][0]
            or iou(rois[row][1:], rois[early][1:]) <= 0.95
            for early in rows
            if early < row
        )
    ]


ROIS = [
    [0, 10, 10, 50, 50],
    [1, 10, 10, 50, 50],  # the same place in another image
    [0, 10, 10, 50, 51],  # IoU 40 / 41
    [0, 10, 10, 50, 54],  # IoU 40 / 44 with the first, 41 / 44 with the last
    [1, 10, 10, 50, 50],  # the same once more
    [0, 60, 60, 90, 90],
    [0, 200, 10, 240, 50],
]


@each_case
@pytest.mark.parametrize(
    ('counts', 'rows'),
    [
        ([1, 1, 1, 1, 1, 1, 1], [0, 1, 3, 5, 6]),
        # the first of two that are the same is no object: the second stays
        ([0, 0, 1, 1, 1, 1, 0], [2, 3, 4, 5]),
    ],
)
def test_duplicate_regions_are_left_out(loss, function, pair, counts, rows):
    assert survivors(ROIS, counts) == rows
    rois, mask = torch.tensor(ROIS).float(), torch.tensor(counts).bool()
    value = loss(background='foreground')(*pair, mask, rois)
    expected = function(*(side[rows] for side in pair))
    torch.testing.assert_close(value, expected)


@each_case
def test_many_regions(loss, function):
    """Random boxes, each of them repeated by one a little larger."""
    boxes = draw(20, 2, seed=3).abs() * 100
    boxes = torch.cat([boxes, boxes + 20 + draw(20, 2, seed=4).abs() * 50], 1)
    boxes = torch.cat([boxes, boxes + torch.tensor([0, 0, 0.6, 0.6])])
    rois = torch.cat([torch.arange(40.0)[:, None] % 2, boxes], 1)
    rows = survivors(rois.tolist(), [1] * 40)
    assert 20 <= len(rows) < 35
    student, teacher = draw(40, 3), draw(40, 5, seed=1)
    torch.testing.assert_close(
        loss()(student, teacher, None, rois),
        function(student[rows], teacher[rows]),
    )


@each_case
@pytest.mark.parametrize(
    ('most', 'rows'),
    [
        (3, [0, 2, 4]),
        (5, [0, 1, 2, 4, 5]),
        (7, [*range(7)]),
        (9, [*range(7)]),
    ],
)
def test_cap_takes_evenly_spaced_rows(loss, function, pair, most, rows):
    state = torch.get_rng_state()
    value = loss(max_samples=most)(*pair)
    expected = function(*(side[rows] for side in pair))
    torch.testing.assert_close(value, expected)
    assert torch.equal(torch.get_rng_state(), state)


@each_case
def test_a_cap_hides_no_missing_rows(loss, function, pair):
    student, teacher = pair
    with pytest.raises(ValueError, match='teacher_embed of shape'):
        loss(max_samples=3)(student, teacher[:-1])


@each_case
def test_cap_counts_what_is_left(loss, function, pair):
    mask = torch.tensor([1, 0, 1, 1, 0, 1, 1]).bool()
    cap = loss(background='foreground', max_samples=4)
    value = cap(*pair, mask)
    expected = function(*(side[[0, 2, 3, 5]] for side in pair))
    torch.testing.assert_close(value, expected)


@each_loss
def test_gather_in_one_process_changes_nothing(loss, pair):
    student, teacher = pair
    gradients = []
    for gather in (False, True):
        leaf = student.clone().requires_grad_()
        loss(gather=gather)(leaf, teacher).backward()
        gradients.append(leaf.grad)
    assert torch.equal(*gradients)


@each_loss
def test_gradcheck(loss, pair):
    student, teacher = pair
    mask, rois = torch.ones(N).bool(), torch.tensor(ROIS).float()
    module = loss(background='foreground', max_samples=4)
    assert torch.autograd.gradcheck(
        lambda x: module(x, teacher, mask, rois), student.requires_grad_()
    )


@each_loss
def test_the_teacher_gets_no_gradient(loss, pair):
    student, teacher = (side.requires_grad_() for side in pair)
    loss()(student, teacher).backward()
    assert student.grad.abs().max() > 0 and teacher.grad is None


@each_loss
@pytest.mark.parametrize('count', [0, 1, 2])
def test_no_relation_of_fewer_than_three(loss, pair, count):
    student = pair[0].requires_grad_()
    mask = torch.arange(N) < count
    rois = torch.tensor(ROIS).float()
    module = loss(background='foreground', max_samples=3, gather=True)
    value = module(student, pair[1], mask, rois)
    value.backward()
    assert value == 0 and torch.equal(student.grad, torch.zeros(N, 3).double())


@each_loss
def test_empty_batch(loss, pair):
    student = pair[0][:0].requires_grad_()
    none = torch.zeros(0).bool()
    value = loss()(student, pair[1][:0], none, torch.zeros(0, 5))
    value.backward()
    assert value == 0 and student.grad.shape == (0, 3)


@each_loss
def test_duplicate_rows_have_small_gradients(loss, pair):
    """Where no boxes tell, as for an image that a batch holds twice."""
    student, teacher = pair
    student[3] = student[0]
    loss()(student.requires_grad_(), teacher).backward()
    # DarkRank's grows with the distances, which are not relative there
    most = 100 if loss is DarkRankLoss else 1
    assert student.grad.isfinite().all() and student.grad.abs().max() < most


@each_loss
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_inputs_give_float32(loss, pair, dtype):
    student, teacher = (side.to(dtype) for side in pair)
    student.requires_grad_()
    with torch.autocast('cpu', dtype):
        value = loss(gather=True, max_samples=N)(student, teacher)
    assert value.dtype == torch.float32
    expected = naive(loss, student.detach(), teacher)
    assert value.item() == pytest.approx(expected, rel=1e-5)
    value.backward()
    assert student.grad.dtype == dtype


@each_loss
@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (dict(max_samples=2), 'max_samples=2; an integer, 3 or above, is'),
        (dict(max_samples=128.0), 'max_samples=128.0; an integer, 3 or'),
        (dict(gather='yes'), "gather='yes'; accepted are True and False"),
        (dict(background='none'), "background='none'; accepted are 'all'"),
    ],
)
def test_arguments_are_checked_at_the_build(loss, args, message):
    with pytest.raises(UserError) as caught:
        loss(**args)
    assert f'{loss.__name__}: {message}' in str(caught.value)


@each_loss
def test_no_foreground_to_tell_apart(loss, pair):
    with pytest.raises(UserError, match="use background='all'"):
        loss(background='foreground')(*pair)


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (dict(alpha=0), 'alpha=0; a finite number above 0 is accepted'),
        (dict(beta=math.inf), 'beta=inf; a finite number above 0 is'),
        (dict(beta=0.5), 'beta=0.5; a finite number of at least 1'),
        (dict(list_length=1), 'list_length=1; an integer, 2 or above, is'),
        (dict(list_length=4.0), 'list_length=4.0; an integer, 2 or above,'),
    ],
)
def test_numbers_of_darkrank_are_checked_at_the_build(args, message):
    with pytest.raises(UserError) as caught:
        DarkRankLoss(**args)
    assert f'DarkRankLoss: {message}' in str(caught.value)


def test_numbers_of_darkrank_reach_the_function(pair):
    value = DarkRankLoss(alpha=2.0, beta=1.5, list_length=3)(*pair)
    torch.testing.assert_close(value, darkrank_loss(*pair, 2.0, 1.5, 3))

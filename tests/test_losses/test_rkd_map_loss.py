"""RKD between cells of maps: which cells, against the loss of their rows."""

import pytest
import torch

from kd_det.errors import UserError
from kd_det.functional import rkd_angle_loss, rkd_distance_loss
from kd_det.losses import MapRelationLoss
from kd_det.losses.rkd_maps import _stride

CASES = [
    (dict(type='RKDDistanceLoss'), rkd_distance_loss),
    (dict(type='RKDAngleLoss'), rkd_angle_loss),
]
each_case = pytest.mark.parametrize(('base', 'function'), CASES)
ANGLE = dict(type='RKDAngleLoss')


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def rows(level, keep=lambda n, y, x: True):
    """The cells of a map, one after the other."""
    n, _, height, width = level.shape
    return torch.stack(
        [
            level[i, :, y, x]
            for i in range(n)
            for y in range(height)
            for x in range(width)
            if keep(i, y, x)
        ]
    )


@each_case
def test_mean_of_the_levels(base, function):
    ours = [draw(2, 3, 2, 3), draw(2, 4, 1, 2, seed=1)]
    theirs = [draw(2, 5, 2, 3, seed=2), draw(2, 6, 1, 2, seed=3)]
    values = [function(rows(a), rows(b)) for a, b in zip(ours, theirs)]
    loss = MapRelationLoss(base, loss_weight=3.0)
    torch.testing.assert_close(loss(ours, theirs), 1.5 * sum(values))


@each_case
def test_cells_in_padding_are_in_no_group(base, function):
    ours, theirs = draw(2, 3, 3, 4), draw(2, 5, 3, 4, seed=1)
    mask = torch.zeros(2, 1, 3, 4, dtype=torch.bool)
    mask[0, :, :2, :3] = mask[1] = True
    ours[0, :, 2] = theirs[0, :, :, 3] = float('nan')
    sides = [
        rows(m, lambda i, y, x: i == 1 or (y < 2 and x < 3))
        for m in (ours, theirs)
    ]
    value = MapRelationLoss(base)([ours], [theirs], [mask])
    torch.testing.assert_close(value, function(*sides))
    assert value.isfinite() and value > 0


@each_case
def test_cap(base, function):
    ours, theirs = draw(2, 3, 4, 5), draw(2, 5, 4, 5, seed=1)
    chosen = [k * _stride(40) % 40 for k in range(7)]
    sides = [rows(m)[chosen] for m in (ours, theirs)]
    loss = MapRelationLoss(base, max_samples=7)
    torch.testing.assert_close(loss([ours], [theirs]), function(*sides))


def test_walk_visits_each_cell_once():
    for count in (*range(3, 200), 2048, 12800, 33600):
        step = _stride(count)
        assert len({k * step % count for k in range(count)}) == count


@pytest.mark.parametrize('width', [16, 25, 64, 128])
def test_walk_spreads_over_columns_rows_and_images(width):
    """An even spacing would stay in one column of a width of 64."""
    images, height, cap = 2, width, 128
    count = images * height * width
    cells = [k * _stride(count) % count for k in range(cap)]
    for axis in (
        [c % width for c in cells],
        [c // width % height for c in cells],
    ):
        quarters = [axis.count(v) for v in range(width)]
        quarters = [
            sum(quarters[i * width // 4 : (i + 1) * width // 4])
            for i in range(4)
        ]
        assert min(quarters) >= 0.6 * cap / 4
    assert sum(c < count // 2 for c in cells) == pytest.approx(64, abs=4)


@each_case
def test_larger_map_is_pooled(base, function):
    ours, theirs = draw(2, 3, 4, 4), draw(2, 5, 2, 2, seed=1)
    small = ours.unflatten(2, (2, 2)).unflatten(4, (2, 2)).mean((3, 5))
    value = MapRelationLoss(base)([ours], [theirs])
    torch.testing.assert_close(value, function(rows(small), rows(theirs)))
    mask = torch.tensor([[1, 0, 0, 0], [0, 0, 0, 0]]).bool()
    mask = mask.repeat(2, 1)[None, None].repeat(2, 1, 1, 1)
    value = MapRelationLoss(base)([ours], [theirs], [mask])
    kept = [rows(m, lambda i, y, x: x == 0) for m in (small, theirs)]
    torch.testing.assert_close(value, function(*kept))


def test_few_and_equal_cells():
    """A coarse level of one image, and a level that is flat."""
    flat = torch.ones(2, 3, 4, 4, requires_grad=True)
    point = draw(1, 3, 1, 1).requires_grad_()
    loss = MapRelationLoss(ANGLE)
    assert loss([point], [draw(1, 5, 1, 1)]) == 0
    value = loss([flat, point], [draw(2, 5, 4, 4), draw(1, 5, 1, 1)])
    value.backward()
    assert value.isfinite() and flat.grad.isfinite().all()
    assert not point.grad.any()


def test_half_precision():
    ours = draw(2, 3, 3, 3).half().requires_grad_()
    value = MapRelationLoss(ANGLE)([ours], [draw(2, 5, 3, 3).half()])
    value.backward()
    assert value.dtype == torch.float32 and ours.grad.isfinite().all()


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(base=dict(type='KDLoss')), 'base of MapRelationLoss'),
        (dict(base=dict(ANGLE, loss_weight=2.0)), 'loss_weight=2.0'),
        (dict(base=dict(ANGLE, max_samples=8)), 'max_samples=8, where'),
        (dict(base=ANGLE, max_samples=2), 'max_samples=2'),
    ],
)
def test_refused(kwargs, message):
    with pytest.raises((UserError, TypeError), match=message):
        MapRelationLoss(**kwargs)


def test_as_many_maps_on_both_sides():
    with pytest.raises(UserError, match='got 2 maps of the student and 1'):
        MapRelationLoss(ANGLE)([draw(1, 2, 2, 2)] * 2, [draw(1, 2, 2, 2)])

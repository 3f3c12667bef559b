"""FGD against loops over every position, and what it must hold."""

import math

import numpy as np
import pytest
import torch
from functional_toy import close, draw, gradient

from kd_det.functional import fgd_attention_loss, fgd_focal_loss

SHAPE = 2, 3, 4, 5
TAU = 0.7


def some_mask():
    mask = torch.ones(2, 1, 4, 5, dtype=torch.bool)
    mask[0, :, 3:] = False
    mask[1, :, :, 2:] = False
    return mask


def some_areas():
    areas = torch.zeros(2, 4, 5, dtype=torch.float64)
    areas[0, :2, 1:4] = 6  # an object of 2 x 3
    areas[0, 1, 2] = 1  # a small one in it
    areas[1, 2:, 0] = 2
    return areas


def positions(mask, n):
    return [
        (i, j)
        for i in range(4)
        for j in range(5)
        if mask is None or mask[n, 0, i, j]
    ]


def attention(feat, n, mask):
    """Spatial attention by position, channel attention by channel."""
    where = positions(mask, n)
    spatial = {
        p: math.exp(np.mean([abs(feat[(n, c, *p)]) for c in range(3)]) / TAU)
        for p in where
    }
    spatial = {
        p: len(where) * value / sum(spatial.values())
        for p, value in spatial.items()
    }
    channel = [
        math.exp(np.mean([abs(feat[(n, c, *p)]) for p in where]) / TAU)
        for c in range(3)
    ]
    return spatial, [3 * value / sum(channel) for value in channel]


def focal_oracle(student, teacher, areas, alpha, beta, mask):
    losses = []
    for n in range(2):
        where = positions(mask, n)
        spatial, channel = attention(teacher.numpy(), n, mask)
        ground = sum(float(areas[(n, *p)]) == 0 for p in where)
        objects = background = 0.0
        for p in where:
            for c in range(3):
                gap = float(student[(n, c, *p)] - teacher[(n, c, *p)])
                value = spatial[p] * channel[c] * gap**2
                if areas[(n, *p)]:
                    objects += value / float(areas[(n, *p)])
                else:
                    background += value / ground
        losses.append(alpha * objects + beta * background)
    return losses


def attention_oracle(student, teacher, mask):
    losses = []
    for n in range(2):
        ours = attention(student.numpy(), n, mask)
        theirs = attention(teacher.numpy(), n, mask)
        spatial = sum(abs(ours[0][p] - theirs[0][p]) for p in ours[0])
        channel = sum(abs(a - b) for a, b in zip(ours[1], theirs[1]))
        losses.append(spatial + channel)
    return losses


MASKS = pytest.mark.parametrize(
    'mask', [None, some_mask()], ids=['whole', 'mask']
)


@MASKS
def test_focal_oracle(mask):
    s, t, areas = draw(*SHAPE), draw(*SHAPE, seed=1), some_areas()
    close(
        fgd_focal_loss(s, t, areas, 0.3, 0.2, TAU, mask),
        focal_oracle(s, t, areas, 0.3, 0.2, mask),
        rtol=1e-11,
    )


@MASKS
def test_attention_oracle(mask):
    s, t = draw(*SHAPE), draw(*SHAPE, seed=1)
    close(
        fgd_attention_loss(s, t, TAU, mask),
        attention_oracle(s, t, mask),
        rtol=1e-11,
    )


def test_objects_have_equal_weights():
    """Of the same gap and a flat teacher, whatever their sizes."""
    t = torch.ones(1, 2, 6, 6, dtype=torch.float64)
    areas = torch.zeros(1, 6, 6, dtype=torch.float64)
    areas[0, :4, :5] = 20
    areas[0, 5, 5] = 1
    values = []
    for area in (20, 1):
        s = t + (areas == area)[:, None]
        values.append(fgd_focal_loss(s, t, areas, 0.5, 0.0))
    close(values[0], values[1])
    close(values[0], [0.5 * 2])  # two channels, attention 1


def test_no_object_and_nothing_else():
    s, t = draw(*SHAPE), draw(*SHAPE, seed=1)
    none, all_of = torch.zeros(2, 4, 5).double(), torch.full((2, 4, 5), 20.0)
    objects = fgd_focal_loss(s, t, none, 1.0, 0.0)
    ground = fgd_focal_loss(s, t, all_of.double(), 0.0, 1.0)
    assert not objects.any() and not ground.any()
    close(
        fgd_focal_loss(s, t, none, 0.0, 1.0),
        fgd_focal_loss(s, t, all_of.double(), 1.0, 0.0),
    )


def test_an_image_without_any_position():
    s, t, mask = draw(*SHAPE), draw(*SHAPE, seed=1), some_mask()
    mask[0] = False
    for loss in (
        lambda x: fgd_focal_loss(x, t, some_areas(), mask=mask),
        lambda x: fgd_attention_loss(x, t, mask=mask),
    ):
        assert loss(s)[0] == 0 and loss(s)[1] > 0
        assert gradient(loss, s).isfinite().all()


def test_equal_maps_and_bounds():
    s, t = draw(*SHAPE), draw(*SHAPE, seed=1)
    assert not fgd_focal_loss(t, t, some_areas()).any()
    assert not fgd_attention_loss(t, t).any()
    # attention has no sign, and its sum is the number of entries
    assert not fgd_attention_loss(-t, t).any()
    assert (fgd_attention_loss(1e6 * s, 1e6 * t) <= 2 * (20 + 3)).all()


def test_gradcheck_with_a_mask():
    s, t = draw(*SHAPE).requires_grad_(), draw(*SHAPE, seed=1)
    mask, areas = some_mask(), some_areas()
    assert torch.autograd.gradcheck(
        lambda x: fgd_focal_loss(x, t, areas, 0.3, 0.2, TAU, mask), s
    )
    assert torch.autograd.gradcheck(
        lambda x: fgd_attention_loss(x, t, TAU, mask), s
    )


def test_wrong_arguments():
    s, areas = draw(*SHAPE), some_areas()
    with pytest.raises(ValueError, match='areas.*W = 2.*W = 5'):
        fgd_focal_loss(s, s, areas[..., :2])
    with pytest.raises(ValueError, match='teacher_feat.*C = 1.*C = 3'):
        fgd_attention_loss(s, s[:, :1])
    for loss in (
        lambda: fgd_focal_loss(s, s, areas, tau=0),
        lambda: fgd_attention_loss(s, s, tau=-1),
    ):
        with pytest.raises(ValueError, match='tau must be above 0'):
            loss()

"""Costs and box loss of queries against loops in NumPy."""

import math

import numpy as np
import pytest
import torch
from functional_toy import close, draw

from kd_det.functional import query_box_loss, query_costs

P, Q, K = 5, 4, 3


def boxes(count, seed):
    numbers = draw(count, 4, seed=seed)
    return torch.cat([numbers[:, :2], numbers[:, 2:].abs() + 0.1], 1)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def distance(a, b):
    return sum(abs(x - y) for x, y in zip(a, b))


def giou(a, b):
    """Of boxes given by centre, width and height."""
    sides = []
    for axis in (0, 1):
        ends = [(x[axis], x[axis + 2] / 2) for x in (a, b)]
        low, high = zip(*((c - half, c + half) for c, half in ends))
        sides.append((max(low), min(high), min(low), max(high)))
    shared, around = 1.0, 1.0
    for inner_low, inner_high, outer_low, outer_high in sides:
        shared *= max(inner_high - inner_low, 0)
        around *= outer_high - outer_low
    union = a[2] * a[3] + b[2] * b[3] - shared
    return shared / union - (around - union) / around


def divergence(t, s):
    total = 0.0
    for p, q in ((sigmoid(a), sigmoid(b)) for a, b in zip(t, s)):
        total += p * math.log(p / q)
        total += (1 - p) * math.log((1 - p) / (1 - q))
    return total


@pytest.mark.parametrize('weights', [(1, 5, 2), (2, 0.5, 0), (0, 0, 1)])
def test_costs_oracle(weights):
    s, t = 2 * draw(P, K), 2 * draw(Q, K, seed=1)
    ours, theirs = boxes(P, 2), boxes(Q, 3)
    expected = np.zeros((P, Q))
    for i in range(P):
        for j in range(Q):
            z, a, b = t[j].tolist(), ours[i].tolist(), theirs[j].tolist()
            parts = (
                divergence(z, s[i].tolist()),
                distance(a, b),
                1 - giou(a, b),
            )
            cost = sum(w * part for w, part in zip(weights, parts))
            expected[i, j] = cost
    got = query_costs(s, ours, t, theirs, *weights)
    close(got, expected, rtol=1e-11, atol=1e-13)


def test_box_oracle():
    ours, theirs = boxes(20, 0), boxes(20, 1)
    expected = [
        3 * distance(a, b) + 0.5 * (1 - giou(a, b))
        for a, b in zip(ours.tolist(), theirs.tolist())
    ]
    close(query_box_loss(ours, theirs, 3, 0.5), expected, rtol=1e-11)


def test_the_same_query_costs_nothing():
    s, ours = draw(P, K), boxes(P, 2)
    costs = query_costs(s, ours, s, ours)
    assert costs.diagonal().abs().max() < 1e-12
    assert (costs + torch.eye(P) > 0).all()
    assert not query_box_loss(ours, ours).any()


def test_sure_networks_that_disagree():
    """Finite, and as large as the logits."""
    z, box = torch.tensor([[100.0, -100.0]]), torch.ones(1, 4)
    assert query_costs(z, box, z, box).item() == 0
    assert query_costs(-z, box, z, box).item() == pytest.approx(200)


def test_wrong_arguments():
    logits, box = draw(2, K), boxes(2, 0)
    with pytest.raises(ValueError, match='teacher_logits.*K = 2.*K = 3'):
        query_costs(logits, box, draw(2, 2), box)
    with pytest.raises(ValueError, match=r'four numbers .N, 4., got shape'):
        query_box_loss(box[:, :3], box[:, :3])
    with pytest.raises(ValueError, match='giou_weight must be a finite'):
        query_box_loss(box, box, giou_weight=math.nan)

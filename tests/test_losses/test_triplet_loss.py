"""The triplet loss and its miners against loops over samples."""

import math
import sys

import numpy as np
import pytest
import torch

from kd_det.errors import UserError
from kd_det.losses import TripletLoss
from kd_det.losses.triplet import MINING, distance_weights
from kd_det.registry import MODELS


def batch(seed=0, classes=4, each=3, width=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(classes * each, width, generator=generator, dtype=dtype)
    labels = torch.arange(classes).repeat_interleave(each)
    order = torch.randperm(len(labels), generator=generator)
    return x, labels[order] * 7 + 3


def pairs_of(labels):
    """Ordered pairs of an anchor and a positive, in order."""
    indices = range(len(labels))
    return [
        (a, p)
        for a in indices
        for p in indices
        if a != p and labels[a] == labels[p]
    ]


def distance(x, i, j):
    return math.sqrt(sum((x[i] - x[j]) ** 2))


def negative_of(x, labels, a, p, mining):
    """The negative that a miner without chance takes."""
    negatives = [n for n in range(len(x)) if labels[n] != labels[a]]
    far = {n: distance(x, a, n) for n in negatives}
    if mining == 'hard':
        return min(negatives, key=far.get)
    beyond = [n for n in negatives if far[n] > distance(x, a, p)]
    if beyond:
        return min(beyond, key=far.get)
    return max(negatives, key=far.get)


def triplets_of(x, labels, mining):
    if mining == 'all':
        return [
            (a, p, n)
            for a, p in pairs_of(labels)
            for n in range(len(x))
            if labels[n] != labels[a]
        ]
    return [
        (a, p, negative_of(x, labels, a, p, mining))
        for a, p in pairs_of(labels)
    ]


def mean_violation(x, triplets, margin):
    terms = [
        max(0.0, distance(x, a, p) - distance(x, a, n) + margin)
        for a, p, n in triplets
    ]
    return sum(terms) / len(terms)


@pytest.mark.parametrize('mining', ['all', 'hard', 'semi-hard'])
@pytest.mark.parametrize('seed', range(4))
def test_against_loops(mining, seed):
    x, labels = batch(seed)
    wanted = mean_violation(
        x.numpy(), triplets_of(x.numpy(), labels.tolist(), mining), 0.3
    )
    got = TripletLoss(0.3, mining)(x, labels)
    assert got.item() == pytest.approx(wanted, rel=1e-6)


def weights_by_loops(x, labels):
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    n, d = x.shape
    weights = np.zeros((n, n))
    for i in range(n):
        logs = []
        for j in range(n):
            gap = 1.0 if i == j else distance(x, i, j)
            gap = max(gap, 0.5)
            logs.append(
                (2 - d) * math.log(gap)
                - (d - 3) / 2 * math.log(1 - gap * gap / 4)
            )
        for j in range(n):
            gap = 1.0 if i == j else max(distance(x, i, j), 0.5)
            if labels[i] != labels[j] and gap < 1.4:
                weights[i, j] = math.exp(logs[j] - max(logs))
        if weights[i].sum() == 0:
            weights[i] = [float(labels[i] != labels[j]) for j in range(n)]
        weights[i] /= weights[i].sum()
    return weights


@pytest.mark.parametrize('width', [2, 3, 5, 64, 512])
def test_weights_of_distances(width):
    x, labels = batch(width=width)
    x[3] = x[0] + 0.01 * x[3]  # some are near
    got = distance_weights(x, labels)
    wanted = weights_by_loops(x.numpy(), labels.tolist())
    np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-6, atol=1e-12)


def test_draws_follow_the_weights():
    x, labels = batch(classes=3, each=2)
    loss = TripletLoss(mining='distance')
    torch.manual_seed(0)
    drawn = torch.zeros(6, 6, dtype=torch.float64)
    for _ in range(1000):
        anchors, positives, negatives = loss.mine(x, labels)
        assert [*zip(anchors.tolist(), positives.tolist())] == pairs_of(labels)
        drawn[anchors, negatives] += 1 / 1000
    torch.testing.assert_close(
        drawn, distance_weights(x, labels), atol=0.06, rtol=0
    )


def test_random_negatives_are_even():
    x, labels = batch(classes=3, each=2)
    loss = TripletLoss(mining='random')
    torch.manual_seed(0)
    drawn = torch.zeros(6, 6)
    for _ in range(1000):
        anchors, _, negatives = loss.mine(x, labels)
        drawn[anchors, negatives] += 1 / 1000
    even = (labels[:, None] != labels) / 4
    torch.testing.assert_close(drawn, even, atol=0.06, rtol=0)


@pytest.mark.parametrize('mining', MINING)
def test_opposite_points_and_duplicates_are_finite(mining):
    x, labels = batch(dtype=torch.float32, width=8)
    x[1], x[2], x[4] = -x[0], x[0], 0
    x.requires_grad_()
    TripletLoss(mining=mining)(x, labels).backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize('mining', MINING)
@pytest.mark.parametrize('labels', [[1, 1, 1], [0, 1, 2], []])
def test_without_a_triplet_it_is_a_connected_zero(mining, labels):
    x = torch.randn(len(labels), 4, requires_grad=True)
    loss = TripletLoss(mining=mining)(x, torch.tensor(labels).long())
    loss.backward()
    assert loss == 0
    assert (x.grad == 0).all()


@pytest.mark.parametrize('mining', ['all', 'hard', 'semi-hard'])
def test_gradient(mining):
    x, labels = batch(classes=3, each=2)
    x.requires_grad_()
    loss = TripletLoss(0.5, mining)
    assert torch.autograd.gradcheck(lambda x: loss(x, labels), x)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    x, labels = batch(dtype=torch.float32)
    half = x.to(dtype).requires_grad_()
    loss = TripletLoss(mining='all')
    with torch.autocast('cpu', dtype=torch.bfloat16):
        got = loss(half, labels)
    assert got.dtype == torch.float32
    assert got == loss(half.float(), labels)
    got.backward()
    assert half.grad.isfinite().all()


@pytest.mark.parametrize('mining', MINING)
def test_nan_shows_in_the_loss(mining):
    x, labels = batch()
    x[1] = math.nan
    assert TripletLoss(mining=mining)(x, labels).isnan()


@pytest.mark.parametrize('mining', MINING)
def test_a_label_for_each_row(mining):
    x, labels = batch()
    with pytest.raises(ValueError, match='labels of shape'):
        TripletLoss(mining=mining)(x, labels[1:])


def test_built_of_a_config():
    cfg = dict(type='kd_det.TripletLoss', margin=0.1, mining='semi-hard')
    assert isinstance(MODELS.build(cfg), TripletLoss)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(margin=-1), 'margin=-1; a finite number, 0 or above'),
        (dict(margin='big'), "margin='big'"),
        (dict(margin=math.nan), 'margin=nan'),
        (dict(mining='semihard'), "did you mean 'semi-hard'"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(UserError, match=message):
        TripletLoss(**arguments)


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'pytorch_metric_learning.losses', None)
    with pytest.raises(UserError, match=r'pip install .kd_det\[metric\]'):
        TripletLoss()

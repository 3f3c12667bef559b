"""Prototypes against loops over queries and classes."""

import numpy as np
import pytest
import torch

from kd_det.errors import UserError
from kd_det.models import PrototypeLoss
from kd_det.models.prototype_head import prototype_logits


def episode(seed=0, ways=4, each=5, width=3):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(ways) * 5 + 2, each))
    return rng.normal(size=(len(labels), width)), labels


def by_loops(x, labels, shots):
    classes = sorted({*labels})
    members = {
        c: [i for i in range(len(x)) if labels[i] == c] for c in classes
    }
    means = {c: sum(x[i] for i in members[c][:shots]) / shots for c in classes}
    terms = []
    for c in classes:
        for query in members[c][shots:]:
            logits = {k: -sum((x[query] - means[k]) ** 2) for k in classes}
            total = sum(np.exp(value) for value in logits.values())
            terms.append(np.log(total) - logits[c])
    return sum(terms) / len(terms)


@pytest.mark.parametrize('shots', [1, 3])
@pytest.mark.parametrize('seed', range(3))
def test_against_loops(seed, shots):
    x, labels = episode(seed)
    got = PrototypeLoss(shots)(torch.tensor(x), torch.tensor(labels))
    assert got.item() == pytest.approx(by_loops(x, labels, shots), rel=1e-9)


def test_logits_are_distances_up_to_a_constant_of_the_query():
    support, queries = torch.randn(3, 2, 4), torch.randn(5, 4)
    logits = prototype_logits(support, queries)
    square = (queries[:, None] - support.mean(1)).square().sum(2)
    torch.testing.assert_close(
        logits, queries.square().sum(1, keepdim=True) - square
    )


def test_gradient():
    x, labels = episode()
    x = torch.tensor(x, requires_grad=True)
    loss = PrototypeLoss(2)
    assert torch.autograd.gradcheck(lambda x: loss(x, torch.tensor(labels)), x)


def test_half_precision_is_computed_in_float32():
    x, labels = episode()
    half = torch.tensor(x).bfloat16()
    labels = torch.tensor(labels)
    got = PrototypeLoss()(half, labels)
    assert got.dtype == torch.float32
    assert got == PrototypeLoss()(half.float(), labels)


@pytest.mark.parametrize(
    ('labels', 'shots'),
    [
        ([0, 0, 1], 1),
        ([0, 0, 1, 1], 2),
        ([0, 0, 0], 1),
        ([0, 1], 1),
        ([], 1),
    ],
)
def test_a_batch_that_is_no_episode(labels, shots):
    x = torch.randn(len(labels), 3)
    with pytest.raises(UserError, match='EpisodeBatchSampler'):
        PrototypeLoss(shots)(x, torch.tensor(labels, dtype=torch.long))


def test_a_label_for_each_row():
    x, labels = episode()
    with pytest.raises(ValueError, match='labels of shape'):
        PrototypeLoss()(torch.as_tensor(x), torch.as_tensor(labels)[:-5])


def test_wrong_argument():
    with pytest.raises(UserError, match='shots=0; an integer, 1 or above'):
        PrototypeLoss(0)

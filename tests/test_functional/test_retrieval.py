"""Recall@K against a sort of explicit distances."""

import math

import pytest
import torch
from functional_toy import draw

from kd_det.functional import recall_at_k, retrieval


def oracle(embeddings, labels, ks):
    rows, labels = embeddings.tolist(), labels.tolist()
    hits = dict.fromkeys(ks, 0)
    for i, query in enumerate(rows):
        others = [j for j in range(len(rows)) if j != i]
        others.sort(key=lambda j: math.dist(query, rows[j]))
        for k in ks:
            hits[k] += labels[i] in [labels[j] for j in others[:k]]
    return {k: count / len(rows) for k, count in hits.items()}


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('width', [1, 3, 20])
def test_oracle(dtype, width):
    x = draw(60, width).to(dtype)
    labels = torch.arange(60) % 7 * 1000 - 3
    ks = (1, 2, 4, 8, 59)
    recall = recall_at_k(x, labels, ks)
    assert recall == oracle(x, labels, ks)
    assert all(type(k) is int and type(r) is float for k, r in recall.items())


def test_order_of_ks_is_kept():
    recall = recall_at_k(draw(9, 3), torch.arange(9) % 3, [4, 1, 2, 1])
    assert list(recall) == [4, 1, 2]


@pytest.mark.parametrize('at_once', [1, 130, 3600])
def test_chunks_do_not_show(monkeypatch, at_once):
    x, labels = draw(60, 4), torch.arange(60) % 7
    expected = oracle(x, labels, (1, 3))
    monkeypatch.setattr(retrieval, 'DISTANCES_AT_ONCE', at_once)
    assert recall_at_k(x, labels, (1, 3)) == expected


def test_r13_scale_and_shift():
    x, labels, ks = draw(60, 4), torch.arange(60) % 7, (1, 2, 4)
    expected = oracle(x, labels, ks)
    assert recall_at_k(x * 1e-8, labels, ks) == expected
    assert recall_at_k(x * 100 - 1e6, labels, ks) == expected


def test_r13_labels_all_equal_or_all_distinct():
    x = draw(20, 4)
    assert recall_at_k(x, torch.ones(20).long(), (1, 5)) == {1: 1, 5: 1}
    assert recall_at_k(x, torch.arange(20), (1, 19)) == {1: 0, 19: 0}


def test_r13_grows_with_k():
    recall = recall_at_k(draw(50, 4), torch.arange(50) % 9, range(1, 50))
    values = list(recall.values())
    assert values == sorted(values) and values[-1] == 1


@pytest.mark.parametrize(
    'dtype', [torch.float16, torch.float32, torch.float64]
)
def test_t9_duplicates_of_the_query_are_neighbours(dtype):
    # Excluded by distance, or as the first of a sort, a duplicate would
    # stand in for the query: pairs of equal rows that share a label.
    x = draw(10, 4).repeat_interleave(2, 0).to(dtype)
    labels = torch.arange(10).repeat_interleave(2)
    assert recall_at_k(x, labels, [1]) == {1: 1.0}
    # With another label the duplicate is the nearest, and wrong.
    assert recall_at_k(x, torch.arange(20), [1]) == {1: 0.0}
    # The query is no hit of its own even if all rows coincide.
    same = torch.zeros(6, 4, dtype=dtype)
    assert recall_at_k(same, torch.arange(6), [5]) == {5: 0.0}


def test_t5_far_clusters():
    # Two classes 0.01 wide inside a cloud at offset 1000, and another cloud
    # at 0: what |a|^2 + |b|^2 - 2ab in float32 cannot order.
    x = 0.01 * draw(40, 3)
    x[:20] += 1000
    labels = (
        x[:, 0] > x[:, 0].view(2, 20).median(1).values.repeat_interleave(20)
    ).long()
    x = x.float()
    assert recall_at_k(x, labels, (1, 2)) == oracle(x, labels, (1, 2))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    x, labels = (draw(40, 8) * 200).to(dtype), torch.arange(40) % 6
    expected = oracle(x.double(), labels, (1, 4))
    assert recall_at_k(x, labels, (1, 4)) == expected
    with torch.autocast('cpu', torch.bfloat16):
        assert recall_at_k(x, labels, (1, 4)) == expected


def test_needs_no_gradient():
    x = draw(9, 3).requires_grad_()
    assert recall_at_k(x, torch.arange(9) % 2, [8]) == {8: 1.0}


@pytest.mark.parametrize('ks', [[9], [1, 10], [0], [-1, 2], []])
def test_k_out_of_range(ks):
    with pytest.raises(ValueError, match=r'\[1, N - 1\] for N = 9'):
        recall_at_k(draw(9, 3), torch.arange(9), ks)


def test_empty_set():
    with pytest.raises(ValueError, match='N = 0'):
        recall_at_k(draw(0, 3), torch.zeros(0).long(), [1])


@pytest.mark.parametrize('ks', [1, '12', [1.0], [None], torch.tensor([1, 2])])
def test_ks_of_another_type(ks):
    with pytest.raises(TypeError, match='ks must'):
        recall_at_k(draw(9, 3), torch.arange(9), ks)


def test_other_errors():
    x = draw(9, 3)
    with pytest.raises(ValueError, match='labels.*N = 8.*N = 9'):
        recall_at_k(x, torch.arange(8), [1])
    with pytest.raises(ValueError, match='embeddings must have shape'):
        recall_at_k(x[:, :, None], torch.arange(9), [1])
    with pytest.raises(ValueError, match='labels must have an integer dtype'):
        recall_at_k(x, torch.arange(9.0), [1])
    for bad in (torch.nan, torch.inf):
        x[2, 1] = bad
        with pytest.raises(ValueError, match='embeddings must be finite'):
            recall_at_k(x, torch.arange(9), [1])

"""Class means against a loop."""

import numpy as np
import pytest
import torch

from kd_det.functional import class_centroids, nd_loss


def naive_means(x, labels, k):
    means, counts = np.zeros((k, x.shape[1])), np.zeros(k, dtype=np.int64)
    for row, y in zip(x.double().numpy(), labels.tolist(), strict=True):
        means[y] += row
        counts[y] += 1
    for y in range(k):
        means[y] /= max(counts[y], 1)
    return means, counts


@pytest.fixture
def embeddings():
    return torch.randn(9, 4, generator=torch.Generator().manual_seed(0))


LABELS = torch.tensor([4, 0, 4, 1, 1, 4, 0, 2, 4])


@pytest.mark.parametrize(
    'dtype', [torch.float64, torch.float32, torch.float16, torch.bfloat16]
)
def test_oracle(embeddings, dtype):
    embeddings = embeddings.to(dtype)
    means, counts = class_centroids(embeddings, LABELS, 6)
    expected, expected_counts = naive_means(embeddings, LABELS, 6)
    assert means.dtype == torch.float32 and counts.dtype == torch.int64
    assert counts.tolist() == expected_counts.tolist() == [2, 2, 1, 0, 4, 0]
    torch.testing.assert_close(means, torch.from_numpy(expected).float())
    assert torch.equal(means[[3, 5]], torch.zeros(2, 4))


def test_no_graph(embeddings):
    means, _ = class_centroids(embeddings.requires_grad_(), LABELS, 5)
    assert not means.requires_grad


def test_sums_are_in_float64():
    # In float32, 2**24 + 1 is 2**24: a float32 sum of these is lost.
    x = torch.tensor([[2.0**24], [1.0], [1.0], [-(2.0**24)]])
    means, _ = class_centroids(x, torch.zeros(4).long(), 1)
    assert means.item() == 0.5


@pytest.mark.parametrize('dtype', [torch.uint8, torch.int32])
def test_labels_of_any_integer_dtype(embeddings, dtype):
    means, counts = class_centroids(embeddings, LABELS.to(dtype), 5)
    assert torch.equal(means, class_centroids(embeddings, LABELS, 5)[0])
    assert counts.dtype == torch.int64


def test_empty():
    means, counts = class_centroids(
        torch.zeros(0, 4), torch.zeros(0).long(), 3
    )
    assert torch.equal(means, torch.zeros(3, 4))
    assert counts.tolist() == [0, 0, 0]


def test_an_unseen_class_stops_nd(embeddings):
    centroids, _ = class_centroids(embeddings, LABELS, 6)
    labels = torch.tensor([0, 3])
    with pytest.raises(ValueError, match='classes 3 are zero'):
        nd_loss(embeddings[:2], embeddings[:2], centroids, labels)


def test_errors(embeddings):
    with pytest.raises(ValueError, match=r'\[0, 4\), got 4'):
        class_centroids(embeddings, LABELS, 4)
    with pytest.raises(ValueError, match='embeddings must have shape'):
        class_centroids(embeddings[0], LABELS, 5)
    with pytest.raises(ValueError, match='labels'):
        class_centroids(embeddings, LABELS[:3], 5)
    with pytest.raises(ValueError, match='num_classes'):
        class_centroids(embeddings, LABELS, 0)

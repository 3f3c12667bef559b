"""The logged cross-entropy against torch's own."""

import pytest
import torch
from torch.nn import functional as F

from kd_det.evaluation.cross_entropy import CrossEntropy


def test_is_the_mean_of_all_batches():
    logits = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(10) % 4
    metric = CrossEntropy()
    for part in (slice(0, 7), slice(7, 10)):
        samples = [
            dict(pred_score=score, gt_label=label[None])
            for score, label in zip(logits[part].softmax(1), labels[part])
        ]
        metric.process({}, samples)
    found = metric.evaluate(10)
    expected = F.cross_entropy(logits.double(), labels).item()
    assert found == {'eval/cross_entropy': pytest.approx(expected, rel=1e-6)}


def test_a_certain_mistake_is_finite():
    metric = CrossEntropy()
    score, label = torch.tensor([0.0, 1.0]), torch.tensor([0])
    metric.process({}, [dict(pred_score=score, gt_label=label)])
    (value,) = metric.evaluate(1).values()
    assert 80 < value < 100

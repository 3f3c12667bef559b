"""Recall and few-shot accuracy against loops over samples."""

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmpretrain.structures import DataSample

from kd_det.errors import UserError
from kd_det.evaluation.episode_accuracy import EpisodeAccuracy
from kd_det.evaluation.recall_at_k import RecallAtK


def evaluate(metric, x, labels, batch=7):
    """Feed a metric as a Runner does."""
    evaluator = Evaluator(metric)
    for start in range(0, len(x), batch):
        samples = []
        for row, label in zip(x[start:], labels[start : start + batch]):
            sample = DataSample().set_gt_label(int(label))
            sample.pred_embed = torch.tensor(row)
            samples.append(sample)
        evaluator.process(samples)
    return evaluator.evaluate(len(x))


def clusters(classes=6, each=20, width=4, spread=1.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(classes), each))
    centres = rng.normal(size=(classes, width))
    return centres[labels] + spread * rng.normal(
        size=(len(labels), width)
    ), labels


def recall_by_loops(x, labels, k):
    hits = 0
    for i in range(len(x)):
        others = [j for j in range(len(x)) if j != i]
        others.sort(key=lambda j: ((x[i] - x[j]) ** 2).sum())
        hits += any(labels[j] == labels[i] for j in others[:k])
    return 100 * hits / len(x)


def test_recall():
    x, labels = clusters()
    x = x.astype(np.float32)
    scores = evaluate(dict(type='kd_det.RecallAtK', ks=(1, 4)), x, labels)
    assert scores == {
        f'retrieval/recall@{k}': pytest.approx(recall_by_loops(x, labels, k))
        for k in (1, 4)
    }
    assert 20 < scores['retrieval/recall@1'] < 95


def test_a_metric_can_be_used_again():
    x, labels = clusters()
    metric = RecallAtK((1,))
    assert evaluate(metric, x, labels) == evaluate(metric, x, labels)
    assert metric.results == []


def accuracy_by_loops(x, labels, ways, shots, queries, episodes, seed):
    """The same draws, everything else written out."""
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(labels == c) for c in np.unique(labels)]
    scores = []
    for _ in range(episodes):
        classes = rng.choice(len(members), ways, replace=False)
        rows = [
            rng.choice(members[c], shots + queries, replace=False)
            for c in classes
        ]
        means = [np.mean([x[i] for i in own[:shots]], axis=0) for own in rows]
        right = [
            np.argmin([((x[i] - mean) ** 2).sum() for mean in means]) == way
            for way, own in enumerate(rows)
            for i in own[shots:]
        ]
        scores.append(np.mean(right))
    mean = sum(scores) / episodes
    variance = sum((s - mean) ** 2 for s in scores) / (episodes - 1)
    return 100 * mean, 196 * (variance / episodes) ** 0.5


@pytest.mark.parametrize('shots', [1, 5])
def test_episodes(shots):
    x, labels = clusters(spread=2.0)
    x = x.astype(np.float32)
    counts = dict(ways=3, shots=shots, queries=4, episodes=40, seed=5)
    scores = evaluate(dict(type='kd_det.EpisodeAccuracy', **counts), x, labels)
    wanted = accuracy_by_loops(x, labels, **counts)
    assert scores == {
        'fewshot/accuracy': pytest.approx(wanted[0]),
        'fewshot/interval': pytest.approx(wanted[1]),
    }
    assert 35 < scores['fewshot/accuracy'] < 95


def test_far_embeddings_are_told_apart():
    x, labels = clusters(spread=0.1)
    scores = [
        evaluate(EpisodeAccuracy(queries=4, episodes=20), rows, labels)
        for rows in (x.astype(np.float32), (x + 3e3).astype(np.float32))
    ]
    assert scores[0] == scores[1]
    assert scores[0]['fewshot/accuracy'] > 95


@pytest.mark.parametrize('kind', [EpisodeAccuracy, RecallAtK])
def test_nan_is_no_score(kind):
    x, labels = clusters()
    x[3, 1] = np.nan
    with pytest.raises(UserError, match='1 of 120 embeddings have NaN'):
        evaluate(kind(), x, labels)


@pytest.mark.parametrize('kind', [EpisodeAccuracy, RecallAtK])
def test_needs_embeddings_and_labels(kind):
    sample = DataSample(pred_score=torch.ones(2)).set_gt_label(1)
    with pytest.raises(UserError, match='sample with .*; pred_embed .from an'):
        Evaluator(kind()).process([sample])


@pytest.mark.parametrize('ks', [1, (), (0,), (1.5,), [True], '12'])
def test_wrong_neighbours(ks):
    with pytest.raises(UserError, match='RecallAtK: (each of )?ks='):
        RecallAtK(ks)


def test_more_neighbours_than_images():
    x, labels = clusters(classes=2, each=4)
    with pytest.raises(UserError, match=r'ks=\(1, 2, 4, 8\) with 8 images'):
        evaluate(RecallAtK(), x, labels)


def test_interval_shrinks_with_the_root_of_the_episodes():
    x, labels = clusters(spread=2.0)
    few, many = (
        evaluate(EpisodeAccuracy(queries=4, episodes=count), x, labels)
        for count in (50, 800)
    )
    ratio = few['fewshot/interval'] / many['fewshot/interval']
    assert ratio == pytest.approx(4, rel=0.3)


def test_all_networks_get_the_same_episodes():
    x, labels = clusters(spread=2.0)
    metric = EpisodeAccuracy(episodes=20, queries=3)
    assert evaluate(metric, x, labels) == evaluate(metric, x, labels)
    shifted = evaluate(metric, 3 * x + 1, labels)
    assert shifted['fewshot/accuracy'] == pytest.approx(
        evaluate(metric, x, labels)['fewshot/accuracy'], abs=0.5
    )


def test_too_few_images():
    x, labels = clusters(each=5)
    with pytest.raises(
        UserError, match=r'0 classes of the data set have 1 \+ 15'
    ):
        evaluate(EpisodeAccuracy(), x, labels)


@pytest.mark.parametrize(
    'wrong',
    [
        dict(ways=1),
        dict(shots=True),
        dict(queries=1.5),
        dict(episodes=1),
        dict(seed=-1),
    ],
)
def test_wrong_arguments(wrong):
    (name,) = wrong
    with pytest.raises(UserError, match=f'{name}={wrong[name]!r}; an integer'):
        EpisodeAccuracy(**wrong)

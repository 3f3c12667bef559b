"""Which images differ, against loops over images, objects and boxes."""

from dataclasses import replace

import numpy as np
import pytest
from coco_toy import toy_predictions

from kd_det.analysis.disagreement import (
    MOST_IMAGES,
    DetectorViews,
    class_agreement,
)
from kd_det.evaluation.coco_ap import best_threshold
from kd_det.evaluation.predictions import ClassPredictions


def overlap(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    inter = max(width, 0) * max(height, 0)
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
    return inter / (sum(areas) - inter)


def looked_at(p, image, threshold):
    """The objects found, and how many boxes find none, in plain loops."""
    objects = [
        (np.append(box[:2], box[:2] + box[2:]), label)
        for i, box, label, crowd in zip(
            p.true_images, p.true_boxes, p.true_labels, p.crowds
        )
        if i == image and not crowd
    ]
    boxes = [
        (-score, box, label)
        for i, score, box, label in zip(p.images, p.scores, p.boxes, p.labels)
        if i == image and score >= threshold
    ]
    found, wrong = set(), 0
    for _, box, label in sorted(boxes, key=lambda entry: entry[0]):
        free = {
            k: overlap(box, own)
            for k, (own, true) in enumerate(objects)
            if true == label and k not in found
        }
        best = max(free, key=free.get, default=None)
        if best is None or free[best] < 0.5:
            wrong += 1
        else:
            found.add(best)
    return len(objects), found, wrong


def test_detectors_against_loops():
    runs = [toy_predictions(seed, noise) for seed, noise in ((0, 9), (1, 3))]
    views = DetectorViews(runs)
    agreement = views.agreement()
    table = dict(both=0, first_only=0, second_only=0, neither=0)
    distance = []
    for image in range(30):
        seen = [looked_at(p, image, t) for p, t in zip(runs, views.thresholds)]
        (count, first, wrong), (_, second, more) = seen
        distance.append(len(first ^ second) + abs(wrong - more))
        table['both'] += len(first & second)
        table['first_only'] += len(first - second)
        table['second_only'] += len(second - first)
        table['neither'] += count - len(first | second)
        assert agreement.wrong[:, image].tolist() == [wrong, more]
        for views_of_run, (_, found, _) in zip(views.seen, seen):
            view = views_of_run[image]
            assert {*view.missed} == {*range(count)} - found
            assert (np.diff(view.boxes.scores) <= 0).all()
    assert agreement.table(0, 1) == table
    assert min(table.values()) > 0
    order = np.argsort([-d for d in distance], kind='stable')[:MOST_IMAGES]
    assert agreement.images == order.tolist()
    assert agreement.distance == [distance[k] for k in order]


def test_a_run_agrees_with_itself():
    toy = toy_predictions()
    agreement = DetectorViews([toy, toy]).agreement()
    assert agreement.images == []
    pairs = agreement.table(0, 1)
    assert pairs['first_only'] == pairs['second_only'] == 0


def test_nothing_is_found():
    toy = toy_predictions()
    nothing = replace(
        toy,
        images=toy.images[:0],
        labels=toy.labels[:0],
        scores=toy.scores[:0],
        boxes=toy.boxes[:0],
    )
    views = DetectorViews([nothing, toy])
    assert views.thresholds[0] == 0
    assert views.agreement().table(0, 1)['first_only'] == 0


@pytest.mark.parametrize('seed', range(4))
def test_the_threshold_has_the_best_f1(seed):
    """Ties, crowds and objects without a box among them."""
    toy = toy_predictions(seed)

    def f1(threshold):
        hits = wrong = count = 0
        for image in range(30):
            for label in range(4):  # by class, as COCO matches
                own = replace(
                    toy,
                    crowds=toy.crowds | (toy.true_labels != label),
                    scores=np.where(toy.labels == label, toy.scores, -1),
                )
                objects, found, more = looked_at(own, image, threshold)
                hits += len(found)
                wrong += more
                count += objects
        return 2 * hits / (hits + wrong + count)

    # a box in a crowd counts as nothing to COCO; here there is none
    toy.crowds[:] = False
    scores = {float(s): f1(s) for s in np.unique(toy.scores)}
    found = best_threshold(toy)
    assert scores[found] == pytest.approx(max(scores.values()), abs=1e-12)


def test_classifiers():
    true = np.arange(60) % 3
    one, other = true.copy(), true.copy()
    one[:20] = (true[:20] + 1) % 3  # the other is right
    other[30:34] = (true[30:34] + 1) % 3
    one[50:52], other[50:52] = (true[50:52] + 1) % 3, (true[50:52] + 2) % 3
    one[58] = other[58] = (true[58] + 1) % 3  # the same mistake
    names = np.array(['ant', 'bee', 'cow'])
    runs = [ClassPredictions(names, labels, true) for labels in (one, other)]
    found = class_agreement(runs)
    assert found.table(0, 1) == dict(
        both=33, first_only=4, second_only=20, neither=3
    )
    # from all over those of which one is right
    assert found.images == [0, 3, 6, 9, 12, 15, 18, 31]
    assert found.distance == [2] * 8
    few = [
        ClassPredictions(names, p.labels[48:], p.true_labels[48:])
        for p in runs
    ]
    assert class_agreement(few).images == [2, 3]
    assert class_agreement(few).distance == [1, 1]

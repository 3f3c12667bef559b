"""Average precision against pycocotools on images physically resampled."""

import dataclasses

import numpy as np
import pytest
from coco_toy import pycocotools_scores, toy_predictions

from kd_det.evaluation.coco_ap import METRICS, ResampledAP, coco_scores


def as_floats(values):
    return np.array([np.nan if v is None else v for v in values])


def resampled_by_pycocotools(predictions, sample):
    """The mAP and the AP of each class."""
    averages, by_class = pycocotools_scores(predictions, sample)
    return np.array([averages[0], *by_class])


def without_boxes(predictions):
    """The same truth, and nothing found."""
    empty = dict(
        images=np.zeros(0, np.int32),
        labels=np.zeros(0, np.int16),
        scores=np.zeros(0, np.float32),
        boxes=np.zeros((0, 4), np.float32),
    )
    return dataclasses.replace(predictions, **empty)


def test_scores_are_those_of_pycocotools():
    predictions = toy_predictions()
    expected, expected_by_class = pycocotools_scores(predictions)
    metrics, by_class = coco_scores(predictions)
    assert tuple(metrics) == METRICS
    np.testing.assert_allclose([*metrics.values()], expected, atol=1e-12)
    assert 0.1 < metrics['mAP'] < 0.9
    assert [*by_class] == ['cat', 'dog', 'owl', 'yak']
    assert by_class['yak'] is None
    np.testing.assert_allclose(
        as_floats(by_class.values()), expected_by_class, atol=1e-12
    )


def test_each_image_once_is_the_plain_score():
    predictions = toy_predictions()
    found = ResampledAP(predictions)(np.ones(30, int))
    metrics, by_class = coco_scores(predictions)
    expected = as_floats([metrics['mAP'], *by_class.values()])
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize('seed', range(5))
def test_resampled_images_are_copies(seed):
    """As if the images drawn twice were two images."""
    predictions = toy_predictions(seed)
    draw = np.random.default_rng(seed)
    sample = np.sort(draw.integers(30, size=30))
    counts = np.bincount(sample, minlength=30)
    assert counts.max() > 1 and counts.min() == 0
    expected = resampled_by_pycocotools(predictions, sample)
    # ties in an image that counts twice: d1 d2 d1 d2 there, d1 d1 d2 d2
    # here; without ties the two are the same to rounding
    found = ResampledAP(predictions)(counts)
    np.testing.assert_allclose(found, expected, atol=2e-2)
    draw.shuffle(predictions.scores)
    untied = dataclasses.replace(
        predictions, scores=predictions.scores + draw.uniform(0, 0.01, 180)
    )
    assert len(np.unique(untied.scores)) == 180
    expected = resampled_by_pycocotools(untied, sample)
    found = ResampledAP(untied)(counts)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_class_that_no_drawn_image_has():
    predictions = toy_predictions()
    counts = np.zeros(30, int)
    image = predictions.true_images[~predictions.crowds][0]
    counts[image] = 30
    expected = resampled_by_pycocotools(predictions, [image] * 30)
    found = ResampledAP(predictions)(counts)
    assert np.isnan(expected).sum() > 1
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))


def test_nothing_found():
    predictions = without_boxes(toy_predictions())
    metrics, by_class = coco_scores(predictions)
    assert metrics['mAP'] == 0
    assert by_class == dict(cat=0, dog=0, owl=0, yak=None)
    found = ResampledAP(predictions)(np.ones(30, int))
    np.testing.assert_array_equal(found, [0, 0, 0, 0, np.nan])

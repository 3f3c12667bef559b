"""Scores of runs on images drawn with replacement, the same for all runs."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from rich.console import Console
from rich.progress import track

from kd_det.errors import UserError
from kd_det.evaluation.coco_ap import ResampledAP
from kd_det.evaluation.predictions import (
    BoxPredictions,
    ClassPredictions,
    Predictions,
)

CONFIDENCE = 0.95
MOST_RESAMPLES = 100_000  # 0.8 GB of scores with 1000 classes
RESAMPLES = 1000


def check_resamples(resamples: int) -> None:
    """Raise a UserError unless a number of draws is accepted."""
    if not 1 <= resamples <= MOST_RESAMPLES:
        raise UserError(
            f'--resamples {resamples}; 1 to {MOST_RESAMPLES} is accepted.'
        )


def score_names(predictions: Predictions) -> list[str]:
    """Return the names of the scores: over all, then by class."""
    boxes = isinstance(predictions, BoxPredictions)
    return ['mAP' if boxes else 'accuracy', *map(str, predictions.classes)]


def resampled_scores(
    predictions: Sequence[Predictions], resamples: int
) -> Iterator[np.ndarray]:
    """Yield the scores of runs on all images, then on each draw of images.

    Args:
        predictions: Of R runs, with equal truth.
        resamples: Draws, each of as many images as there are.

    Yields:
        Shape (R, 1 + K), named by :func:`score_names`; NaN for a class that
        is not there.
    """
    images = predictions[0].num_images
    scorers = [_scorer(p) for p in predictions]
    draw = np.random.default_rng(0)
    chances = np.full(images, 1 / images)
    yield np.array([scorer(np.ones(images, int)) for scorer in scorers])
    console = Console(stderr=True)
    for _ in track(
        range(resamples),
        'Bootstrap over images',
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ):
        counts = draw.multinomial(images, chances)
        yield np.array([scorer(counts) for scorer in scorers])


def interval(values: np.ndarray) -> list[float] | None:
    """Return the ends of the middle 95 % of values, NaN left out.

    Args:
        values: A score, or a change, on each draw, (resamples,).
    """
    values = values[~np.isnan(values)]  # samples without this class
    if not len(values):
        return None
    edges = np.array([1 - CONFIDENCE, 1 + CONFIDENCE]) / 2
    return np.quantile(values, edges).tolist()


class _ResampledAccuracy:
    """Accuracy, overall and per class, for resampled images."""

    def __init__(self, predictions: ClassPredictions) -> None:
        p = predictions
        self._classes = len(p.classes)
        self._true = p.true_labels.astype(int)
        self._right = p.labels == p.true_labels

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        images, right = (
            np.bincount(self._true, weights, self._classes)
            for weights in (counts, counts * self._right)
        )
        with np.errstate(invalid='ignore'):  # NaN if a class is absent
            by_class = right / images
        return np.array([right.sum() / images.sum(), *by_class])


def _scorer(predictions: Predictions) -> Callable[[np.ndarray], np.ndarray]:
    boxes = isinstance(predictions, BoxPredictions)
    return (ResampledAP if boxes else _ResampledAccuracy)(predictions)

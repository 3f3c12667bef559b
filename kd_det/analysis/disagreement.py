"""On which validation images runs disagree, and how often they agree."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kd_det.analysis.pictures import Boxes, match
from kd_det.evaluation.coco_ap import best_threshold
from kd_det.evaluation.predictions import (
    BoxPredictions,
    ClassPredictions,
    Predictions,
)

MOST_IMAGES = 8


@dataclass(frozen=True)
class Agreement:
    """What R runs make of the same N things: objects, or images to classify.

    Attributes:
        right: Whether each run gets each thing right, (R, N).
        wrong: Of detectors, boxes with no object, by run and image (R, I).
        images: Those that differ most, the first one most.
        distance: By how much, for each of them.
    """

    right: np.ndarray
    wrong: np.ndarray
    images: list[int]
    distance: list[int]

    def table(self, run: int, other: int) -> dict[str, int]:
        """Return how many things both, one or none of two runs get right."""
        a, b = self.right[run], self.right[other]
        return dict(
            both=int((a & b).sum()),
            first_only=int((a & ~b).sum()),
            second_only=int((~a & b).sum()),
            neither=int((~a & ~b).sum()),
        )


@dataclass(frozen=True)
class Seen:
    """What a run sees in one image.

    Attributes:
        boxes: Those above the run's threshold, the best first.
        right: Whether each finds an object, (P,).
        missed: Indices of the objects that none finds.
    """

    boxes: Boxes
    right: np.ndarray
    missed: list[int]


class DetectorViews:
    """What detectors see in each image, each above its best threshold.

    Args:
        predictions: Of R runs, with equal truth.
    """

    def __init__(self, predictions: Sequence[BoxPredictions]) -> None:
        self.thresholds = [best_threshold(p) for p in predictions]
        first = predictions[0]
        places = _by_image(first.true_images, first.num_images)
        corners = first.true_boxes.copy()
        corners[:, 2:] += corners[:, :2]
        # a crowd is no object that could be found or missed
        self.truth = [
            Boxes(corners[own], first.true_labels[own])
            for own in (k[~first.crowds[k]] for k in places)
        ]
        self.seen = [
            [_look(p, own, t, objects) for own, objects in zip(kept, truth)]
            for p, t, kept, truth in (
                (p, t, _by_image(p.images, p.num_images), self.truth)
                for p, t in zip(predictions, self.thresholds)
            )
        ]  # run, image

    def agreement(self) -> Agreement:
        """Return how far the runs agree.

        The distance of an image is the number of objects that some runs find
        and others do not, and the difference in boxes without an object.
        """
        right = [
            [
                ~np.isin(np.arange(len(objects.labels)), view.missed)
                for view, objects in zip(views, self.truth)
            ]
            for views in self.seen
        ]
        wrong = np.array([[(~v.right).sum() for v in s] for s in self.seen])
        distance = wrong.max(axis=0) - wrong.min(axis=0)
        for image, own in enumerate(zip(*right)):
            own = np.array(own)
            distance[image] += (own.any(axis=0) & ~own.all(axis=0)).sum()
        images = _largest(distance)
        return Agreement(
            np.array([np.concatenate(own) for own in right]),
            wrong,
            images,
            distance[images].tolist(),
        )


def class_agreement(predictions: Sequence[ClassPredictions]) -> Agreement:
    """Return how far classifiers agree.

    Images that some runs get right come first, then those where all are
    wrong in different ways; they are taken from all over the set.

    Args:
        predictions: Of R runs, with equal truth.
    """
    labels = np.array([p.labels for p in predictions])
    right = labels == predictions[0].true_labels
    differ = (labels != labels[0]).any(axis=0)
    distance = differ.astype(int) + (differ & right.any(axis=0))
    images = []
    for value in (2, 1):
        own = np.flatnonzero(distance == value)
        room = min(MOST_IMAGES - len(images), len(own))
        images += [int(own[k * len(own) // room]) for k in range(room)]
    wrong = np.zeros((len(labels), len(distance)), int)
    return Agreement(right, wrong, images, distance[images].tolist())


def kind_of(predictions: Predictions) -> str:
    """Return what is got right or not: ``'objects'`` or ``'images'``."""
    boxes = isinstance(predictions, BoxPredictions)
    return 'objects' if boxes else 'images'


def _look(
    predictions: BoxPredictions,
    own: np.ndarray,
    threshold: float,
    objects: Boxes,
) -> Seen:
    p = predictions
    own = own[p.scores[own] >= threshold]
    own = own[np.argsort(-p.scores[own], kind='stable')]
    boxes = Boxes(p.boxes[own].astype(float), p.labels[own], p.scores[own])
    found = match(boxes, objects)
    missed = {*range(len(objects.labels))} - {*found.tolist()}
    return Seen(boxes, found >= 0, sorted(missed))


def _by_image(images: np.ndarray, count: int) -> list[np.ndarray]:
    """Return the indices of the boxes of each image."""
    order = np.argsort(images, kind='stable')
    edges = np.searchsorted(images[order], np.arange(count + 1))
    return [order[a:b] for a, b in zip(edges, edges[1:])]


def _largest(distance: np.ndarray) -> list[int]:
    order = np.argsort(-distance, kind='stable')[:MOST_IMAGES]
    return [int(image) for image in order if distance[image] > 0]

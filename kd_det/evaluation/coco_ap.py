"""COCO average precision of stored predictions."""

import contextlib
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from kd_det.evaluation.predictions import BoxPredictions

METRICS = ('mAP', 'AP50', 'AP75', 'AP_small', 'AP_medium', 'AP_large')
LARGEST = 1e10  # square pixels, as COCO bounds the areas
DETECTIONS = 100  # an image and class, as COCO counts


def coco_scores(
    predictions: BoxPredictions,
) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """Return pycocotools' averages, in [0, 1]; None where no box is true.

    Args:
        predictions: Of one run.

    Returns:
        The metrics of ``METRICS``, small, medium and large by the area of
        the true box; and the AP of each class by its name.
    """
    evaluation = _evaluation(predictions)
    with _quiet():
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    metrics = {
        name: _or_none(value)
        for name, value in zip(METRICS, evaluation.stats, strict=False)
    }
    # IoU, recall, class, area, number of detections
    precision = evaluation.eval['precision'][:, :, :, 0, -1]
    by_class = {
        str(name): _or_none(precision[:, :, index].mean())
        for index, name in enumerate(predictions.classes)
    }
    return metrics, by_class


class ResampledAP:
    """AP when images count several times, or not at all.

    The matching of boxes, which takes the time, is done once; it does not
    depend on other images. An image that counts twice is the same as two
    copies of it.

    Args:
        predictions: Of one run.
    """

    def __init__(self, predictions: BoxPredictions) -> None:
        evaluation = _evaluation(predictions)
        evaluation.params.areaRng = [[0, LARGEST]]
        evaluation.params.areaRngLbl = ['all']
        evaluation.params.maxDets = [DETECTIONS]
        with _quiet():
            evaluation.evaluate()
        self._recalls = evaluation.params.recThrs
        count = predictions.num_images
        results = evaluation.evalImgs  # class by class, image by image
        self._classes = [
            _Matches(results[index * count : (index + 1) * count])
            for index in range(len(predictions.classes))
        ]

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        """Return the mAP and the AP of each class, in [0, 1].

        Args:
            counts: How often each image counts, (I,).

        Returns:
            (1 + K,), NaN for a class without a true box.
        """
        by_class = np.array(
            [matches.ap(counts, self._recalls) for matches in self._classes]
        )
        there = by_class[~np.isnan(by_class)]
        mean = there.mean() if len(there) else np.nan
        return np.array([mean, *by_class])


class _Matches:
    """The matched boxes of one class, by falling score."""

    def __init__(self, results: list[dict | None]) -> None:
        self.true = np.array(
            [
                0 if r is None else np.sum(np.asarray(r['gtIgnore']) == 0)
                for r in results
            ]
        )
        found = [(i, r) for i, r in enumerate(results) if r is not None]
        scores = [np.asarray(r['dtScores']) for _, r in found]
        # stable, as pycocotools sorts: ties stay in the order of the images
        order = np.argsort(
            -np.concatenate([*scores, []]), kind='mergesort'
        ).astype(int)
        places = [np.full(len(s), i) for (i, _), s in zip(found, scores)]
        self.images = np.concatenate([*places, []])[order].astype(int)
        if not len(order):
            return
        matched = np.concatenate([r['dtMatches'] for _, r in found], axis=1)
        ignored = np.concatenate([r['dtIgnore'] for _, r in found], axis=1)
        counted = ~ignored[:, order].astype(bool)  # IoU threshold, box
        right = matched[:, order].astype(bool) & counted
        self.right = [np.flatnonzero(row) for row in right]
        # seldom more than one row: only a box in a crowd is ignored
        self.counted, rows = np.unique(counted, axis=0, return_inverse=True)
        self.rows = rows.ravel()

    def ap(self, counts: np.ndarray, recalls: np.ndarray) -> float:
        true = counts @ self.true
        if true == 0:
            return np.nan
        if not len(self.images):
            return 0.0
        weights = counts[self.images]
        boxes = np.cumsum(self.counted * weights, axis=1)
        return float(
            np.mean(
                [
                    _precision_at(
                        recalls,
                        np.cumsum(weights[right]),
                        boxes[row][right],
                        true,
                    )
                    for right, row in zip(self.right, self.rows)
                ]
            )
        )


def _precision_at(
    recalls: np.ndarray, right: np.ndarray, boxes: np.ndarray, true: int
) -> np.ndarray:
    """Return the best precision at each recall or a higher one.

    Args:
        recalls: Rising.
        right: How many boxes are right down to each right one, by score.
        boxes: How many boxes there are down to it.
        true: How many true boxes there are.
    """
    precision = right / (boxes + np.spacing(1))
    best = np.maximum.accumulate(precision[::-1])[::-1]
    best = np.append(best, 0)  # at a recall that is not reached
    return best[np.searchsorted(right / true, recalls, side='left')]


def _evaluation(predictions: BoxPredictions) -> COCOeval:
    p = predictions
    common = dict(
        images=[dict(id=index + 1) for index in range(p.num_images)],
        categories=[dict(id=k + 1) for k in range(len(p.classes))],
    )
    truth = [
        dict(
            id=index + 1,  # 0 means no match to pycocotools
            image_id=int(image) + 1,
            category_id=int(label) + 1,
            bbox=box.tolist(),
            area=float(area),
            iscrowd=int(crowd),
        )
        for index, (image, label, box, area, crowd) in enumerate(
            zip(
                p.true_images,
                p.true_labels,
                p.true_boxes,
                p.true_areas,
                p.crowds,
            )
        )
    ]
    corners = p.boxes.astype(float)
    sizes = corners[:, 2:] - corners[:, :2]
    boxes = np.concatenate([corners[:, :2], sizes], axis=1)
    found = [
        dict(
            id=index + 1,
            image_id=int(image) + 1,
            category_id=int(label) + 1,
            bbox=box.tolist(),
            area=float(box[2] * box[3]),
            score=float(score),
            iscrowd=0,
        )
        for index, (image, label, box, score) in enumerate(
            zip(p.images, p.labels, boxes, p.scores)
        )
    ]
    sides = []
    for annotations in (truth, found):
        side = COCO()
        side.dataset = dict(common, annotations=annotations)
        with _quiet():
            side.createIndex()
        sides.append(side)
    return COCOeval(*sides, iouType='bbox')


def _or_none(value: float) -> float | None:
    return None if value < 0 else float(value)  # -1: there was no true box


def _quiet() -> contextlib.AbstractContextManager:
    return contextlib.redirect_stdout(io.StringIO())  # pycocotools prints

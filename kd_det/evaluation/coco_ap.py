"""COCO average precision of stored predictions."""

import contextlib
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from kd_det.evaluation.predictions import BoxPredictions

METRICS = ('mAP', 'AP50', 'AP75', 'AP_small', 'AP_medium', 'AP_large')
LARGEST = 1e10  # square pixels, the upper limit in COCO
DETECTIONS = 100  # per image and class, as in COCO


def coco_scores(
    predictions: BoxPredictions,
) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """Return pycocotools' scores in [0, 1]; None without ground truth.

    Args:
        predictions: Predictions of one run.

    Returns:
        The metrics of ``METRICS``, where small, medium and large refer to the
        area of the true box; and the AP of each class by name.
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
    """AP for resampled images.

    Matching boxes, the expensive part, does not depend on other images and is
    done once. An image with count 2 is equivalent to two copies.

    Args:
        predictions: Predictions of one run.
    """

    def __init__(self, predictions: BoxPredictions) -> None:
        evaluation = _matched(predictions)
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
            counts: Count of each image, (I,).

        Returns:
            (1 + K,), NaN for a class without true boxes.
        """
        by_class = np.array(
            [matches.ap(counts, self._recalls) for matches in self._classes]
        )
        there = by_class[~np.isnan(by_class)]
        mean = there.mean() if len(there) else np.nan
        return np.array([mean, *by_class])


def best_threshold(predictions: BoxPredictions) -> float:
    """Return the score from which on boxes have the best F1, at IoU 0.5.

    Heads differ in how high they score what is right, so that one threshold
    for all of them would hide boxes of some.

    Args:
        predictions: Of one run; without a box, 0.
    """
    results = _matched(predictions, [0.5]).evalImgs
    results = [r for r in results if r is not None]
    scores, matched, ignored = (
        np.concatenate([*(np.ravel(r[key]) for r in results), []])
        for key in ('dtScores', 'dtMatches', 'dtIgnore')
    )
    true = sum(np.sum(np.asarray(r['gtIgnore']) == 0) for r in results)
    counted = ~ignored.astype(bool)
    scores, right = scores[counted], matched[counted] > 0
    if not len(scores):
        return 0.0
    order = np.argsort(-scores, kind='stable')
    scores, right = scores[order], np.cumsum(right[order])
    f1 = 2 * right / (np.arange(1, len(scores) + 1) + true)
    f1[:-1][scores[:-1] == scores[1:]] = -1  # a threshold parts no ties
    return float(scores[f1.argmax()])


class _Matches:
    """The matched boxes of one class, by descending score."""

    def __init__(self, results: list[dict | None]) -> None:
        self.true = np.array(
            [
                0 if r is None else np.sum(np.asarray(r['gtIgnore']) == 0)
                for r in results
            ]
        )
        found = [(i, r) for i, r in enumerate(results) if r is not None]
        scores = [np.asarray(r['dtScores']) for _, r in found]
        # stable sort as in pycocotools: ties keep the order of the images
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
        # rarely more than one row: only boxes in a crowd are ignored
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
    """Return the best precision at or above each recall.

    Args:
        recalls: Ascending recall values.
        right: Number of correct boxes up to each correct one, by score.
        boxes: Number of boxes up to it.
        true: Number of true boxes.
    """
    precision = right / (boxes + np.spacing(1))
    best = np.maximum.accumulate(precision[::-1])[::-1]
    best = np.append(best, 0)  # for recall values that are not reached
    return best[np.searchsorted(right / true, recalls, side='left')]


def _matched(
    predictions: BoxPredictions, thresholds: list[float] | None = None
) -> COCOeval:
    """Return the matches at each IoU threshold, COCO's own without any."""
    evaluation = _evaluation(predictions)
    evaluation.params.areaRng = [[0, LARGEST]]
    evaluation.params.areaRngLbl = ['all']
    evaluation.params.maxDets = [DETECTIONS]
    if thresholds:
        evaluation.params.iouThrs = np.array(thresholds)
    with _quiet():
        evaluation.evaluate()
    return evaluation


def _evaluation(predictions: BoxPredictions) -> COCOeval:
    p = predictions
    common = dict(
        images=[dict(id=index + 1) for index in range(p.num_images)],
        categories=[dict(id=k + 1) for k in range(len(p.classes))],
    )
    truth = [
        dict(
            id=index + 1,  # 0 means no match in pycocotools
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
    return None if value < 0 else float(value)  # -1: no true boxes


def _quiet() -> contextlib.AbstractContextManager:
    return contextlib.redirect_stdout(io.StringIO())  # pycocotools prints

"""Scores of runs by class, with intervals, and what they agree on."""

from collections.abc import Sequence

import numpy as np

from kd_det.analysis.bootstrap import (
    interval,
    resampled_scores,
    score_names,
)
from kd_det.analysis.disagreement import (
    DetectorViews,
    Seen,
    class_agreement,
    kind_of,
)
from kd_det.analysis.pictures import Boxes
from kd_det.analysis.report_runs import ReportedRun
from kd_det.evaluation.predictions import BoxPredictions


def comparable(runs: Sequence[ReportedRun]) -> list[ReportedRun]:
    """Return the runs that were validated on what the first of them was."""
    runs = [run for run in runs if run.predictions is not None]
    return [
        run for run in runs if run.predictions.same_truth(runs[0].predictions)
    ]


def class_scores(runs: Sequence[ReportedRun], resamples: int) -> dict:
    """Return the scores over all and by class, each with its interval.

    The intervals are percentiles of a paired bootstrap: images are drawn
    with replacement, the same for all runs.

    Args:
        runs: Comparable, one or more.
        resamples: Draws.

    Returns:
        ``images``, ``resamples``, and ``rows``: the ``name`` and, by letter
        of the run, ``score``, ``interval``, and but for the first run
        ``change`` from it and ``change_interval``; None where no box or
        image is true.
    """
    predictions = [run.predictions for run in runs]
    scores = resampled_scores(predictions, resamples)
    once = next(scores)  # run, score
    drawn = np.array([*scores])  # draw, run, score
    rows = [
        dict(
            name=name,
            runs={
                run.letter: _score(once[:, index], drawn[:, :, index], k)
                for k, run in enumerate(runs)
            },
        )
        for index, name in enumerate(score_names(predictions[0]))
    ]
    images = predictions[0].num_images
    return dict(images=images, resamples=resamples, rows=rows)


def _score(once: np.ndarray, drawn: np.ndarray, run: int) -> dict:
    found = dict(score=_or_none(once[run]), interval=interval(drawn[:, run]))
    if run:
        found |= dict(
            change=_or_none(once[run] - once[0]),
            change_interval=interval(drawn[:, run] - drawn[:, 0]),
        )
    return found


def disagreement(runs: Sequence[ReportedRun]) -> dict:
    """Return how far runs agree, and the images where they do not.

    Args:
        runs: Comparable, two or more.

    Returns:
        ``of``: ``'objects'`` or ``'images'``; ``total``, how many;
        ``thresholds`` of a detector's scores by letter; ``pairs``: of each
        run with the first one how many both get right, or one, or none;
        ``images``: ``place`` in the predictions, ``distance``, ``truth``
        and, by letter, what each run sees.
    """
    predictions = [run.predictions for run in runs]
    boxes = isinstance(predictions[0], BoxPredictions)
    views = DetectorViews(predictions) if boxes else None
    agreement = views.agreement() if boxes else class_agreement(predictions)
    found = dict(
        of=kind_of(predictions[0]),
        total=agreement.right.shape[1],
        wrong={r.letter: int(w.sum()) for r, w in zip(runs, agreement.wrong)},
        pairs={
            run.letter: agreement.table(0, k)
            for k, run in enumerate(runs)
            if k
        },
    )
    if boxes:
        found['thresholds'] = {
            r.letter: t for r, t in zip(runs, views.thresholds)
        }
    names = predictions[0].classes
    found['images'] = [
        dict(
            place=image,
            distance=distance,
            truth=_boxes(views.truth[image], names)
            if boxes
            else str(names[predictions[0].true_labels[image]]),
            runs={
                run.letter: _seen(views.seen[k][image], names)
                if boxes
                else str(names[predictions[k].labels[image]])
                for k, run in enumerate(runs)
            },
        )
        for image, distance in zip(agreement.images, agreement.distance)
    ]
    return found


def _boxes(boxes: Boxes, names: np.ndarray) -> list[dict]:
    return [
        dict(box=box.tolist(), label=str(names[label]))
        for box, label in zip(boxes.boxes, boxes.labels)
    ]


def _seen(view: Seen, names: np.ndarray) -> dict:
    found = _boxes(view.boxes, names)
    for entry, score, right in zip(found, view.boxes.scores, view.right):
        entry |= dict(score=float(score), right=bool(right))
    return dict(boxes=found, missed=view.missed)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)

"""Made-up predictions: most right, some displaced, some of nothing."""

import contextlib
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from kd_det.evaluation.predictions import BoxPredictions

CLASSES = np.array(['cat', 'dog', 'owl', 'yak'])  # no yak is true


def toy_predictions(seed=0, noise=6.0, num_images=30) -> BoxPredictions:
    """Equal truth whatever the seed and the noise of the predictions."""
    truth = np.random.default_rng(99)
    draw = np.random.default_rng(seed)
    count = 3 * num_images
    images = np.sort(truth.integers(num_images - 2, size=count))
    labels = truth.integers(3, size=count)
    corner = truth.uniform(0, 200, (count, 2))
    size = truth.uniform(10, 120, (count, 2))
    true_boxes = np.concatenate([corner, size], axis=1)
    found = np.concatenate([corner, corner + size], axis=1)
    found = found + draw.normal(0, noise, found.shape)
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
    places = draw.integers(num_images, size=count)
    guesses = np.where(draw.random(count) < 0.9, labels, 3 - labels)
    # scores of one decimal: ties within and between images
    scores = np.round(draw.uniform(0.1, 1, 2 * count), 1)
    return BoxPredictions(
        classes=CLASSES,
        image_ids=np.arange(num_images) * 7 + 3,
        images=np.concatenate([images, places]).astype(np.int32),
        labels=np.concatenate([guesses, guesses]).astype(np.int16),
        scores=scores.astype(np.float32),
        boxes=np.concatenate([found, found]).astype(np.float32),
        true_images=images.astype(np.int32),
        true_labels=labels.astype(np.int16),
        true_boxes=true_boxes,
        true_areas=size.prod(axis=1) * 0.8,
        crowds=truth.random(count) < 0.05,
    )


def pycocotools_scores(predictions: BoxPredictions, sample=None):
    """Averages and class APs of a set of images drawn with replacement.

    Each draw is an image of its own, with boxes of its own.
    """
    p = predictions
    sample = range(len(p.image_ids)) if sample is None else sample
    truth, found = [], []
    for number, image in enumerate(sample):
        for i in np.flatnonzero(p.true_images == image):
            truth.append(
                dict(
                    id=len(truth) + 1,
                    image_id=100 + number,
                    category_id=50 + int(p.true_labels[i]),
                    bbox=[float(x) for x in p.true_boxes[i]],
                    area=float(p.true_areas[i]),
                    iscrowd=int(p.crowds[i]),
                )
            )
        for i in np.flatnonzero(p.images == image):
            x1, y1, x2, y2 = (float(x) for x in p.boxes[i])
            found.append(
                dict(
                    image_id=100 + number,
                    category_id=50 + int(p.labels[i]),
                    bbox=[x1, y1, x2 - x1, y2 - y1],
                    score=float(p.scores[i]),
                )
            )
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = dict(
            images=[dict(id=100 + n) for n in range(len(sample))],
            annotations=truth,
            categories=[
                dict(id=50 + k, name=str(name))
                for k, name in enumerate(p.classes)
            ],
            info={},
        )
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), 'bbox')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval['precision'][..., 0, 2]  # T, R, K
    by_class = precision.mean(axis=(0, 1))
    return evaluation.stats[:6], np.where(by_class < 0, np.nan, by_class)

"""Benchmark faster-coco-eval against pycocotools, on the same boxes."""

import argparse
import contextlib
import io
import json
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.comparison import check_least, clock_name, fitting_clock
from kd_det.benchmark.timing import Times, alternate
from kd_det.cli import run_tool
from kd_det.compat import coco_files
from kd_det.files import atomic_write, check_output

REFERENCE, FAST = 'pycocotools', 'faster-coco-eval'
IMAGE = 640  # side of a made-up image, in pixels


def made_up(images: int, classes: int, boxes: int) -> tuple[dict, list[dict]]:
    """Return annotations and predictions that partly match, with crowds.

    Args:
        images: Number of images.
        classes: Number of classes.
        boxes: Predicted boxes per image.
    """
    rng = np.random.default_rng(0)
    truths, found = [], []
    for image in range(1, images + 1):
        own = rng.integers(0, 15)
        sizes = np.exp(rng.uniform(np.log(8), np.log(400), (own, 2)))
        corners = rng.random((own, 2)) * (IMAGE - sizes)
        kinds = rng.integers(1, classes + 1, own)
        for box, kind in zip(np.hstack([corners, sizes]), kinds):
            truths.append(
                dict(
                    id=len(truths) + 1,
                    image_id=image,
                    category_id=int(kind),
                    bbox=box.tolist(),
                    area=float(box[2] * box[3]),
                    iscrowd=int(rng.random() < 0.02),
                )
            )
        for _ in range(boxes):
            kind = int(rng.integers(1, classes + 1))
            box = np.array([*rng.random(2) * IMAGE, *rng.random(2) * 200 + 4])
            if own and rng.random() < 0.5:  # near an annotated one
                near = rng.integers(own)
                kind = int(kinds[near]) if rng.random() < 0.8 else kind
                box = np.array([*corners[near], *sizes[near]])
                shift = rng.normal(0, 0.1, 4) * np.tile(sizes[near], 2)
                box = np.maximum(box + shift, [0, 0, 1, 1])
            found.append(
                dict(
                    image_id=image,
                    category_id=kind,
                    bbox=box.tolist(),
                    score=round(float(rng.random()), 2),  # with ties
                )
            )
    table = dict(
        info={},
        images=[
            dict(id=i, width=IMAGE, height=IMAGE) for i in range(1, images + 1)
        ],
        categories=[dict(id=i, name=f'{i}') for i in range(1, classes + 1)],
        annotations=truths,
    )
    return table, found


def scores(kind: type, truth, found: list[dict]) -> np.ndarray:
    """Return AP and AR as COCO defines them, and the whole precision.

    Args:
        kind: Class of the evaluation.
        truth: Annotations.
        found: Predictions, as in a COCO results file.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        results = truth.loadRes([dict(box) for box in found])
        evaluation = kind(truth, results, 'bbox')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval['precision'].ravel()
    return np.concatenate([evaluation.stats[:12], precision])


def benchmark(table: dict, found: list[dict], rounds: int) -> dict:
    """Compare results and times of both.

    Args:
        table: Contents of a COCO annotation file.
        found: Contents of a COCO results file.
        rounds: Times that each is run.
    """
    from faster_coco_eval import COCOeval_faster
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    check_least(1, rounds=rounds)
    coco_files.install()
    truth = COCO()
    truth.dataset = table
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    clock, outcomes = fitting_clock(), {}

    def timed(name: str, kind: type, _) -> float:
        began = clock()
        outcomes[name] = scores(kind, truth, found)
        return clock() - began

    runs = {
        REFERENCE: partial(timed, REFERENCE, COCOeval),
        FAST: partial(timed, FAST, COCOeval_faster),
    }
    spent = alternate(runs, rounds, 'Evaluation')
    times = {name: Times(tuple(own)) for name, own in spent.items()}
    apart = np.abs(outcomes[REFERENCE] - outcomes[FAST]).max()
    return dict(
        images=len(table['images']),
        classes=len(table['categories']),
        boxes=len(found),
        clock=clock_name(),
        seconds={name: own.seconds for name, own in times.items()},
        ratio=times[REFERENCE].ratio(times[FAST]),
        mAP=float(outcomes[REFERENCE][0]),
        largest_difference=float(apart),
    )


def main() -> None:
    """Parse the arguments and run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--images', type=int, default=1000, help='(1000)')
    parser.add_argument('--classes', type=int, default=80, help='(80)')
    parser.add_argument(
        '--boxes', type=int, default=50, help='boxes per image (50)'
    )
    parser.add_argument(
        '--results',
        nargs=2,
        metavar=('ANNOTATIONS', 'BOXES'),
        help='compare on a COCO results file instead, such as that of '
        '`kd_det test --out`',
    )
    parser.add_argument(
        '--rounds', type=int, default=5, help='times each is run (5)'
    )
    parser.add_argument('--json', metavar='FILE', help='also write as JSON')
    args = parser.parse_args()
    if args.json:
        check_output(args.json, '--json')
    check_least(1, images=args.images, classes=args.classes, boxes=args.boxes)
    if args.results:
        table, found = (
            json.loads(Path(name).read_text()) for name in args.results
        )
    else:
        table, found = made_up(args.images, args.classes, args.boxes)
    result = benchmark(table, found, args.rounds)
    text = json.dumps(result, indent=1)
    print(text)
    if args.json:
        with atomic_write(args.json) as file:
            file.write(f'{text}\n'.encode())


if __name__ == '__main__':
    run_tool(main)

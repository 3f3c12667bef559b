"""Benchmark the loading of CIFAR and of JPEG images against the usual way."""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate, pseudo_collate
from mmengine.registry import DATASETS, MODELS, TRANSFORMS, init_default_scope

from benchmarks.comparison import check_least, clock_name, fitting_clock
from kd_det import random_state
from kd_det.benchmark.timing import Times, alternate, threads_of_torch
from kd_det.cli import run_tool
from kd_det.datasets import cifar_files
from kd_det.errors import UserError
from kd_det.files import atomic_write, check_output
from kd_det.registry import DATASETS as OURS

USUAL, FAST = 'usual', 'fast'
BATCH = 64
RUN = 10  # batches of CIFAR in a turn
CROP = (
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
)


def cifar_ways(
    images: int, preprocess: bool
) -> dict[str, Callable[[int], dict]]:
    """Return mmpretrain's way and ours from the round to a batch.

    Both load made-up images with the pipeline of the CIFAR configs.

    Args:
        images: Number of images.
        preprocess: Whether to normalise the batch, too.
    """
    init_default_scope('mmpretrain')
    rng = np.random.default_rng(0)
    shape = (images, cifar_files.SIDE, cifar_files.SIDE, 3)
    pixels = rng.integers(0, 256, shape, dtype=np.uint8)
    labels = rng.integers(0, 10, images)
    listed = [
        dict(img=image, gt_label=label)
        for image, label in zip(pixels, labels.tolist())
    ]
    kind = DATASETS.get('mmpretrain.CIFAR10')
    own = type('MadeUp', (kind,), dict(load_data_list=lambda self: listed))
    fast = OURS.get('CIFAR10')
    ours = type(
        'Fast',
        (fast,),
        dict(
            load_data_list=lambda self: _in_memory(self, pixels, labels),
        ),
    )
    made = dict(data_root='none', split='train', pipeline=CROP)
    preprocessor = MODELS.build(
        dict(type='ClsDataPreprocessor', mean=[125.0] * 3, std=[63.0] * 3)
    )

    def batch(dataset, collate: Callable, number: int) -> dict:
        order = np.random.default_rng(number).integers(images, size=BATCH)
        samples = [dataset[index] for index in order.tolist()]
        found = collate(samples)
        return preprocessor(found, True) if preprocess else found

    return {
        USUAL: partial(batch, own(**made), pseudo_collate),
        FAST: partial(batch, ours(**made), default_collate),
    }


def _in_memory(dataset, pixels: np.ndarray, labels: np.ndarray) -> list[dict]:
    dataset.images = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    return [
        dict(row=row, gt_label=label)
        for row, label in enumerate(labels.tolist())
    ]


def jpeg_ways(folder: str, side: int) -> dict[str, Callable[[int], dict]]:
    """Return the usual way and ours from the round to images of a side.

    Args:
        folder: Folder of JPEG files.
        side: The image is resized to fit into a square of this side.

    Raises:
        UserError: There are none.
    """
    init_default_scope('mmdet')
    files = sorted(map(str, Path(folder).rglob('*.jpg')))
    if not files:
        raise UserError(f'--images {folder!r} has no .jpg files.')
    boxes = [dict(bbox=[9.0, 9.0, 90.0, 70.0], bbox_label=0, ignore_flag=0)]
    loads = {
        USUAL: dict(type='LoadImageFromFile'),
        FAST: dict(type='kd_det.LoadReducedImage', scale=(side, side)),
    }

    def batch(pipeline, number: int) -> dict:
        first = BATCH * number
        chosen = [files[(first + i) % len(files)] for i in range(BATCH)]
        return pseudo_collate(
            [pipeline(dict(img_path=p, instances=boxes)) for p in chosen]
        )

    ways = {}
    for name, load in loads.items():
        transforms = [
            load,
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='Resize', scale=(side, side), keep_ratio=True),
            dict(type='RandomFlip', prob=0.5),
            dict(
                type='PackDetInputs',
                meta_keys=('img_path', 'ori_shape', 'img_shape', 'flip'),
            ),
        ]
        steps = [TRANSFORMS.build(Config(t)._cfg_dict) for t in transforms]
        ways[name] = partial(batch, partial(_through, steps))
    return ways


def _through(steps: list, sample: dict) -> dict:
    for step in steps:
        sample = step(sample)
    return sample


def _change(usual: dict, fast: dict) -> float:
    """Return the mean difference of the pixels of two batches.

    Where the sides of an image differ by a pixel, what they share is compared.
    """
    parts = []
    for one, other in zip(usual['inputs'], fast['inputs'], strict=True):
        height, width = np.minimum(one.shape[-2:], other.shape[-2:])
        if max(one.shape[-2] - height, one.shape[-1] - width) > 1:
            raise RuntimeError('the sizes differ by more than a pixel')
        one, other = (i[..., :height, :width].float() for i in (one, other))
        parts.append((one - other).abs().mean())
    return float(torch.stack(parts).mean())


def compare(
    title: str,
    ways: dict[str, Callable[[int], dict]],
    rounds: int,
    batches: int = 1,
) -> dict:
    """Time both ways in turns, and compare a batch.

    Args:
        title: Title of the progress bar.
        ways: Name -> function of a number that returns a batch.
        rounds: Turns of each.
        batches: Batches of a turn, one after another as in training.
    """
    found = []
    for way in ways.values():
        random_state.seed_all(rounds)
        found.append(way(rounds))
    change = _change(*found)
    clock = fitting_clock()

    def timed(way: Callable[[int], dict], number: int) -> float:
        random_state.seed_all(number)
        began = clock()
        for batch in range(batches):
            way(number * batches + batch)
        return (clock() - began) / batches

    runs = {name: partial(timed, way) for name, way in ways.items()}
    spent = alternate(runs, rounds, title)
    times = {name: Times(tuple(own)) for name, own in spent.items()}
    return dict(
        ms={
            name: round(1000 * own.median / BATCH, 4)
            for name, own in times.items()
        },
        ratio=times[USUAL].ratio(times[FAST]),
        difference=change,
    )


def benchmark(
    images: int, folder: str | None, sides: list[int], rounds: int
) -> dict:
    """Compare CIFAR and, with a folder, JPEG files.

    Args:
        images: Images of the made-up CIFAR set.
        folder: Folder of JPEG files, or None.
        sides: Sides of the resized images.
        rounds: Turns of each.
    """
    check_least(1, images=images, rounds=rounds)
    rows = {
        name: compare(name, cifar_ways(images, preprocess), rounds, RUN)
        for name, preprocess in (
            ('CIFAR', False),
            ('CIFAR, preprocessed', True),
        )
    }
    for side in sides if folder else ():
        ways = jpeg_ways(folder, side)
        rows[f'JPEG to {side}'] = compare(f'{side} px', ways, rounds)
    about = dict(clock=clock_name(), rounds=rounds, batch=BATCH)
    return dict(about, rows=rows)


def main() -> None:
    """Parse the arguments and run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--cifar', type=int, default=5000, help='images of CIFAR (5000)'
    )
    parser.add_argument('--images', metavar='FOLDER', help='JPEG files')
    parser.add_argument(
        '--sides',
        type=int,
        nargs='+',
        default=[320, 160],
        help='sides of the resized JPEG images (320 160)',
    )
    parser.add_argument('--rounds', type=int, default=11, help='(11)')
    parser.add_argument('--json', metavar='FILE', help='also write as JSON')
    args = parser.parse_args()
    if args.json:
        check_output(args.json, '--json')
    with threads_of_torch(1):
        result = benchmark(args.cifar, args.images, args.sides, args.rounds)
    text = json.dumps(result, indent=1)
    print(text)
    if args.json:
        with atomic_write(args.json) as file:
            file.write(f'{text}\n'.encode())


if __name__ == '__main__':
    run_tool(main)

"""Measure how the cost of losses grows, and draw docs/images/growth.png."""

import argparse
import json
import multiprocessing
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from benchmarks.live_memory import live_peak
from kd_det.cli import run_tool
from kd_det.files import atomic_write
from kd_det.functional import (
    class_centroids,
    dkd_loss,
    hcl_loss,
    kd_loss,
    nd_loss,
    pkd_loss,
    rkd_angle_loss,
    rkd_distance_loss,
    sdd_loss,
)

ROOT = Path(__file__).parents[1]
JSON = ROOT / 'docs/results/growth.json'
FIGURE = ROOT / 'docs/images/growth.png'
WIDTH, CLASSES, REGIONS, CHANNELS = 1024, 81, 21, 256
ROIS = (64, 128, 256, 512, 1024, 2048)
# Sizes beyond which memory alone is counted, or nothing.
TIMED = {'RKD-D': 512, 'RKD-A': 256, 'PKD': 800, 'ReviewKD': 800}
COUNTED = {'RKD-A': 512}
COUNTS = (3, 20, 80, 365, 1203)  # the last is LVIS
BANKS = (*COUNTS, 21841)  # the last is all of ImageNet
SIDES = (320, 640, 800, 1333)
STRIDES = (4, 8, 16, 32, 64)
RANKS = (1, 2, 4)
ENOUGH = 0.3  # seconds after which nothing is measured again

Run = Callable[[], object]


def seconds(run: Run, rounds: int) -> float:
    """Return the median CPU time of some calls after a first one."""
    spent: list[float] = []
    for _ in range(rounds + 1):
        begin = time.process_time()
        run()
        spent.append(time.process_time() - begin)
        if spent[-1] > ENOUGH:
            break
    return median(spent[1:] or spent)


def cost(make: Callable[[str], Run], rounds: int, timed: bool = True) -> dict:
    """Return the time of a computation, and its memory.

    Args:
        make: Returns it for a device.
        rounds: Most calls.
        timed: Whether to compute at all; memory needs no computation.
    """
    found: dict[str, float] = dict(MiB=live_peak(make('meta')) / 2**20)
    if timed:
        found['ms'] = 1000 * seconds(make('cpu'), rounds)
    return found


def learning(
    loss: Callable[..., Tensor], *shapes: tuple[int, ...]
) -> Callable:
    """Return what makes a loss, forward and backward, on a device.

    Args:
        loss: Function of the student's tensor and others.
        shapes: Their shapes, the student's first.
    """

    def make(device: str) -> Run:
        student, *others = (torch.randn(s, device=device) for s in shapes)
        student.requires_grad_()

        def run() -> None:
            student.grad = None
            loss(student, *others).sum().backward()

        return run

    return make


def labels_of(like: Tensor, classes: int) -> Tensor:
    """Return labels of as many samples as a tensor has."""
    numbers = torch.arange(len(like), device=like.device)
    return numbers % classes


def of_rois(n: int, classes: int) -> dict[str, Callable[[str], Run]]:
    """Return the losses on RoIs.

    Args:
        n: Number of RoIs.
        classes: Number of classes, with background.
    """
    rows, logits = (n, WIDTH), (n, classes)
    regions = (n, classes, REGIONS)
    return {
        'ND': learning(
            lambda s, t, c: nd_loss(s, t, c, labels_of(s, classes)),
            rows,
            rows,
            (classes, WIDTH),
        ),
        'KD': learning(kd_loss, logits, logits),
        'DKD': learning(
            lambda s, t: dkd_loss(s, t, labels_of(s, classes)), logits, logits
        ),
        'SD-KD': learning(
            lambda s, t: sdd_loss(
                s, t, labels_of(s, classes), lambda a, b, _: kd_loss(a, b)
            ),
            regions,
            regions,
        ),
    }


def of_pairs(n: int) -> dict[str, Callable[[str], Run]]:
    """Return the losses on pairs and triplets of RoIs."""
    rows = (n, WIDTH)
    return {
        'RKD-D': learning(rkd_distance_loss, rows, rows),
        'RKD-A': learning(rkd_angle_loss, rows, rows),
    }


def of_banks(classes: int) -> dict[str, Callable[[str], Run]]:
    """Return what uses the class means of all classes."""

    def means(device: str) -> Run:
        rows = torch.randn(512, WIDTH, device=device)
        labels = labels_of(rows, classes)
        return lambda: class_centroids(rows, labels, classes)

    return {'ND': of_rois(512, classes)['ND'], 'class means': means}


def of_maps(side: int, levels: int) -> dict[str, Callable[[str], Run]]:
    """Return the losses on feature maps.

    Args:
        side: Side of the image, in pixels.
        levels: Number of levels, from the finest.
    """
    shapes = [
        (1, CHANNELS, -(-side // s), -(-side // s)) for s in STRIDES[:levels]
    ]

    def make(loss: Callable[[list, list], Tensor], device: str) -> Run:
        ours = [torch.randn(s, device=device) for s in shapes]
        theirs = [torch.randn(s, device=device) for s in shapes]
        for level in ours:
            level.requires_grad_()

        def run() -> None:
            for level in ours:
                level.grad = None
            loss(ours, theirs).sum().backward()

        return run

    return {
        'PKD': lambda device: make(
            lambda s, t: torch.stack([*map(pkd_loss, s, t)]), device
        ),
        'ReviewKD': lambda device: make(hcl_loss, device),
    }


def rank_seconds(count: int, steps: int) -> dict[str, float]:
    """Return the CPU time of a step on each of some ranks, the slowest's.

    A classification layer on 512 RoIs per rank, whose gradients are averaged,
    with its own loss and with ND and KD in addition.

    Args:
        count: Number of ranks.
        steps: Steps that are measured.
    """
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context('fork')
    queue = context.SimpleQueue()
    ranks = [
        context.Process(target=_rank, args=(rank, count, port, steps, queue))
        for rank in range(count)
    ]
    for rank in ranks:
        rank.start()
    found = [queue.get() for _ in ranks]
    for rank in ranks:
        rank.join()
    return {key: max(own[key] for own in found) for key in found[0]}


def _rank(rank: int, count: int, port: int, steps: int, queue) -> None:
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    dist.init_process_group('gloo', rank=rank, world_size=count)
    torch.set_num_threads(1)
    torch.manual_seed(rank)
    head = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, CLASSES))
    model = DistributedDataParallel(head)
    rows, theirs = torch.randn(2, 512, WIDTH)
    logits, means = torch.randn(512, CLASSES), torch.randn(CLASSES, WIDTH)
    labels = labels_of(rows, CLASSES)

    def step(distil: bool) -> None:
        ours = model(rows)
        loss = nn.functional.cross_entropy(ours, labels)
        if distil:
            embed = head[0](rows)
            loss = loss + kd_loss(ours, logits).mean()
            loss = loss + nd_loss(embed, theirs, means, labels).mean()
        loss.backward()

    spent = {
        name: 1000 * seconds(lambda d=distil: step(d), steps)
        for name, distil in (('alone', False), ('ND and KD', True))
    }
    queue.put(spent)
    dist.destroy_process_group()


def measure(
    rois: tuple[int, ...] = ROIS,
    counts: tuple[int, ...] = COUNTS,
    banks: tuple[int, ...] = BANKS,
    sides: tuple[int, ...] = SIDES,
    levels: int = len(STRIDES),
    ranks: tuple[int, ...] = RANKS,
    rounds: int = 5,
) -> dict:
    """Return curves: axis -> loss -> size -> ms and MiB.

    Args:
        rois: Numbers of RoIs, for 81 classes.
        counts: Numbers of classes, for 512 RoIs.
        banks: Numbers of classes with class means, for 512 RoIs.
        sides: Sides of images, in pixels, for all levels.
        levels: Most levels, for an image of 640 pixels.
        ranks: Numbers of processes.
        rounds: Most calls of each.
    """
    curves: dict[str, dict] = {}

    def add(axis: str, size: int, losses: dict) -> None:
        for name, make in losses.items():
            if size > COUNTED.get(name, size):
                continue
            own = cost(make, rounds, size <= TIMED.get(name, size))
            curves.setdefault(axis, {}).setdefault(name, {})[size] = own
        print(f'{axis}: {size}', flush=True)

    for n in rois:
        add('RoIs', n, of_rois(n, CLASSES))
        add('RoIs', n, of_pairs(n))
    for count in counts:
        losses = of_rois(512, count)
        add('classes', count, {k: losses[k] for k in losses if k != 'ND'})
    for count in banks:
        add('classes with means', count, of_banks(count))
    for count in range(1, levels + 1):
        add('levels', count, of_maps(640, count))
    for side in sides:
        add('image side', side, of_maps(side, levels))
    for count in ranks:
        for name, ms in rank_seconds(count, rounds).items():
            own = curves.setdefault('ranks', {}).setdefault(name, {})
            own[count] = dict(ms=ms)
    return dict(
        torch=torch.__version__, clock='CPU time', threads=1, curves=curves
    )


def draw(result: dict, path: str | Path) -> None:
    """Draw the curves.

    Args:
        result: From :func:`measure`.
        path: Image to write.
    """
    import matplotlib as mpl

    mpl.use('Agg')
    import matplotlib.pyplot as plt

    curves = result['curves']
    panels = [(axis, 'ms') for axis in curves]
    panels.insert(1, ('RoIs', 'MiB'))
    panels.insert(3, ('classes', 'MiB'))
    figure, axes = plt.subplots(2, 4, figsize=(13, 6), layout='constrained')
    for ax, (axis, unit) in zip(axes.flat, panels):
        for name, sizes in curves[axis].items():
            points = [
                (int(size), own[unit])
                for size, own in sizes.items()
                if own.get(unit)
            ]
            ax.plot(*zip(*points), marker='o', markersize=3, label=name)
        ax.set(xscale='log', yscale='log', xlabel=axis, ylabel=unit)
        sizes = [*map(int, next(iter(curves[axis].values())))]
        ax.set_xticks(sizes, [*map(str, sizes)], fontsize=7)
        ax.minorticks_off()
        ax.legend(fontsize=7)
        ax.grid(alpha=0.3)
    for ax in axes.flat[len(panels) :]:
        ax.axis('off')
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main() -> None:
    """Parse the arguments, measure and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=5, help='(5)')
    parser.add_argument('--json', default=str(JSON), help=f'({JSON.name})')
    parser.add_argument('--out', default=str(FIGURE), help=f'({FIGURE.name})')
    args = parser.parse_args()
    torch.set_num_threads(1)
    result = measure(rounds=args.rounds)
    with atomic_write(args.json) as file:
        file.write(json.dumps(result, indent=1).encode() + b'\n')
    draw(json.loads(Path(args.json).read_text()), args.out)


if __name__ == '__main__':
    run_tool(main)

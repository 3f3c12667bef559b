"""Benchmark time and memory of Recall@K at the size of SOP."""

import argparse
import resource
import sys

import numpy as np
import torch
from mmengine.structures import BaseDataElement

from benchmarks.comparison import (
    check_least,
    clock_name,
    fitting_clock,
    threads_of_torch,
)
from kd_det.cli import run_tool
from kd_det.evaluation.recall_at_k import RecallAtK

KS = (1, 10, 100, 1000)


def benchmark(images: int, dims: int, threads: int) -> dict[str, float]:
    """Print time and peak memory of the metric on random embeddings.

    The whole computation is run, from data samples to recall. Memory is the
    peak of this process, including imports.

    Args:
        images: Number of queries, which are also the gallery.
        dims: Width of the embeddings.
        threads: Number of torch threads.

    Returns:
        ``seconds``, ``MiB`` and ``before``, the MiB at the start.

    Raises:
        UserError: A number is too small.
    """
    check_least(2, images=images)
    check_least(1, dims=dims, threads=threads)
    with threads_of_torch(threads):
        return _measure(images, dims, threads)


def _measure(images: int, dims: int, threads: int) -> dict[str, float]:
    before = _peak()
    metric = RecallAtK([k for k in KS if k < images])
    rng = np.random.default_rng(0)
    for index in range(images):
        row = torch.from_numpy(rng.standard_normal(dims, np.float32))
        # five images per class, as in Stanford Online Products
        label = torch.tensor([index // 5])
        sample = BaseDataElement(gt_label=label, pred_embed=row)
        metric.process({}, [sample.to_dict()])
    clock = fitting_clock()
    began = clock()
    scores = metric.evaluate(images)
    result = dict(seconds=clock() - began, MiB=_peak(), before=before)
    print(
        f'{images} x {dims}, threads: {threads}: '
        f'{clock_name()} {result["seconds"]:.0f} s, '
        f'peak {result["MiB"]:.0f} MiB '
        f'({before:.0f} MiB before); '
        + ', '.join(f'{k} {v:.2f}' for k, v in scores.items())
    )
    return result


def _peak() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == 'darwin' else 2**10)


def main() -> None:
    """Parse the arguments and run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--images', type=int, default=60502, help='queries (60502)'
    )
    parser.add_argument('--dims', type=int, default=512, help='width (512)')
    parser.add_argument(
        '--threads', type=int, default=1, help='torch threads (1)'
    )
    args = parser.parse_args()
    benchmark(args.images, args.dims, args.threads)


if __name__ == '__main__':
    run_tool(main)

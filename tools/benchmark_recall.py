"""Measure time and memory of Recall@K on a set of the size of SOP's."""

import argparse

from kd_det.cli import run_tool
from kd_det.engine.benchmark_recall import benchmark


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--images', type=int, default=60502, help='queries (60502)'
    )
    parser.add_argument('--dims', type=int, default=512, help='width (512)')
    parser.add_argument('--threads', type=int, default=1, help='of torch (1)')
    args = parser.parse_args()
    benchmark(args.images, args.dims, args.threads)


if __name__ == '__main__':
    run_tool(main)

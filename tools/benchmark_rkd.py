"""Print what RKD's angle loss costs in time and memory."""

import argparse

from kd_det.cli import run_tool
from kd_det.engine.benchmark_rkd import benchmark


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=7, help='calls of each')
    parser.add_argument(
        '--threads', type=int, default=1, help='of torch; 1: CPU time counts'
    )
    args = parser.parse_args()
    benchmark(args.rounds, args.threads)


if __name__ == '__main__':
    run_tool(main)

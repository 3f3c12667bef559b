"""Print what the losses cost, beside slower ways and within a step."""

import argparse

from kd_det.cli import run_tool
from kd_det.engine.benchmark_losses import SECTIONS, benchmark


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--section', choices=[*SECTIONS], help='one of them; all without it'
    )
    parser.add_argument('--rounds', type=int, default=21, help='calls of each')
    parser.add_argument(
        '--threads', type=int, default=1, help='of torch; 1: CPU time counts'
    )
    parser.add_argument(
        '--small', action='store_true', help='sizes of a test, in seconds'
    )
    args = parser.parse_args()
    sections = [args.section] if args.section else [*SECTIONS]
    benchmark(sections, args.rounds, args.threads, args.small)


if __name__ == '__main__':
    run_tool(main)

"""Compute the teacher's answers that a config keeps on disk."""

import argparse

from kd_det.cli.arguments import add_run_arguments, add_teacher


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    add_teacher(parser)
    parser.add_argument(
        '--plan',
        action='store_true',
        help='only print size, build time and the epoch from which it pays',
    )


def run(args: argparse.Namespace) -> None:
    from kd_det.api import launch
    from kd_det.precompute.answer_cache import write_caches

    write_caches(launch.prepare_from(args), args.plan)

"""Find loss weights by comparing gradients with the task loss."""

import argparse

from kd_det.cli.arguments import add_run_arguments, add_teacher


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    add_teacher(parser)
    parser.add_argument(
        '--target',
        type=float,
        default=0.5,
        help='gradient norm of each loss relative to the task loss (0.5)',
    )
    parser.add_argument(
        '--steps',
        type=int,
        default=100,
        help='training steps of a temporary copy before measuring (100); 0 '
        'measures the initial student',
    )
    parser.add_argument(
        '--batches',
        type=int,
        default=16,
        help='batches to measure; the median is used (16)',
    )
    parser.add_argument(
        '--out', metavar='FILE.py', help='child config to write'
    )
    parser.add_argument('--seed', type=int, default=0, help='random seed (0)')


def run(args: argparse.Namespace) -> None:
    from kd_det.api import launch
    from kd_det.precompute.calibration import calibrate_config

    cfg = launch.prepare_from(args)
    calibrate_config(
        cfg,
        args.target,
        args.steps,
        args.batches,
        args.out,
        args.seed,
        args.config if '::' in args.config else None,
    )

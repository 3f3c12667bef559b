"""Find loss weights by the gradients of distillation and of the task."""

import argparse

from kd_det.cli.arguments import add_run_arguments, add_teacher


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    add_teacher(parser)
    parser.add_argument(
        '--target',
        type=float,
        default=0.5,
        help="norm of each loss's gradient as a multiple of the task's (0.5)",
    )
    parser.add_argument(
        '--steps',
        type=int,
        default=100,
        help='training steps of a throw-away copy before measuring (100); '
        '0 measures the student as it begins',
    )
    parser.add_argument(
        '--batches',
        type=int,
        default=16,
        help='to measure on; the median counts (16)',
    )
    parser.add_argument(
        '--out', metavar='FILE.py', help='child config to write'
    )
    parser.add_argument('--seed', type=int, default=0, help='of the copy')


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

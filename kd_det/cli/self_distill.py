"""Train generations of a network, each taught by the previous one."""

import argparse

from kd_det.cli.arguments import add_run_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    parser.add_argument(
        '--generations', type=int, default=3, help='number of generations (3)'
    )
    parser.add_argument(
        '--teacher', metavar='CKPT', help='checkpoint of generation 0'
    )
    parser.add_argument(
        '--seed', type=int, help='random seed of each generation'
    )


def run(args: argparse.Namespace) -> None:
    from kd_det.api import launch
    from kd_det.api.self_distill import self_distill

    self_distill(launch.prepare_from(args), args.generations, args.seed)

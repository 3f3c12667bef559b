"""Train a student, with or without a teacher, from one config."""

import argparse

from kd_det.cli.arguments import add_run_arguments, add_teacher


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    add_teacher(parser)
    parser.add_argument(
        '--amp',
        action='store_true',
        help='mixed precision (needs an accelerator)',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CKPT',
        help='resume from the last checkpoint in the work directory, or CKPT',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate to the actual batch size',
    )
    parser.add_argument('--seed', type=int, help='random seed')


def run(args: argparse.Namespace) -> None:
    from kd_det.api import launch

    cfg = launch.prepare_from(args)
    launch.train(cfg, args.amp, args.resume, args.auto_scale_lr, args.seed)

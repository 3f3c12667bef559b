"""Distil a teacher into a student on a folder of images."""

import argparse

from kd_det.cli.arguments import Options
from kd_det.cli.new import add_pair, pair_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_pair(parser)
    parser.add_argument(
        '--epochs', type=int, help="number of epochs (the config's)"
    )
    parser.add_argument('--seed', type=int, default=0, help='random seed (0)')
    parser.add_argument(
        '--work-dir', help='output folder (work_dirs/<student>_<method>)'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Options,
        metavar='KEY=VALUE',
        help="overrides of the pair's config",
    )


def run(args: argparse.Namespace) -> None:
    from kd_det.api.run import distill

    done = distill(
        epochs=args.epochs,
        seed=args.seed,
        work_dir=args.work_dir,
        options=args.cfg_options,
        **pair_of(args),
    )
    for name, value in done.metrics.items():
        print(f'{name}: {value:.4g}')
    print(f'Student: {done.checkpoint}')

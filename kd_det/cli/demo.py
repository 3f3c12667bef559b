"""Distil a small detector on generated images and compare the results."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--work-dir',
        default='work_dirs/demo',
        help='output folder (work_dirs/demo)',
    )
    parser.add_argument('--seed', type=int, default=0, help='random seed (0)')
    parser.add_argument(
        '--fresh', action='store_true', help='repeat finished steps'
    )


def run(args: argparse.Namespace) -> None:
    from kd_det.demo import demo

    demo.run(args.work_dir, args.seed, args.fresh)

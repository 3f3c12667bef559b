"""Distil a small detector on made-up images: make, train, compare, show."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--work-dir',
        default='work_dirs/demo',
        help='where to write (work_dirs/demo)',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='of everything random (0)'
    )
    parser.add_argument(
        '--fresh', action='store_true', help='redo what is finished'
    )


def run(args: argparse.Namespace) -> None:
    from kd_det.demo import demo

    demo.run(args.work_dir, args.seed, args.fresh)

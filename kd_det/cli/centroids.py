"""Compute the class means of a config's teacher over its training set."""

import argparse

from kd_det.cli.arguments import add_run_arguments, add_teacher


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    add_teacher(parser)
    parser.add_argument(
        '--source',
        choices=('gt', 'proposals'),
        help='annotated boxes, or RoIs sampled from proposals with '
        'background (as needed by the losses)',
    )
    parser.add_argument(
        '--augmented',
        action='store_true',
        help="use the training pipeline, as in the ND authors' code",
    )
    parser.add_argument(
        '--out', metavar='FILE', help="output .npz file (the config's)"
    )
    parser.add_argument('--seed', type=int, default=0, help='random seed (0)')


def run(args: argparse.Namespace) -> None:
    from kd_det.api import launch
    from kd_det.precompute.centroids import write_centroids

    cfg = launch.prepare_from(args)
    write_centroids(cfg, args.source, args.augmented, args.out, args.seed)

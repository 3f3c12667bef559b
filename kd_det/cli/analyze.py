"""Compare feature maps of a teacher and students: numbers and pictures."""

import argparse

from kd_det.cli.arguments import add_run_arguments, add_teacher


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    parser.add_argument(
        'checkpoints', nargs='+', metavar='CKPT', help='student checkpoints'
    )
    add_teacher(parser)
    parser.add_argument('--out', help='output folder (the work directory)')
    parser.add_argument(
        '--num-images',
        type=int,
        default=1000,
        help='number of test images (1000)',
    )
    parser.add_argument(
        '--minibatch',
        type=int,
        default=0,
        metavar='N',
        help='minibatch size for CKA (0: all samples at once)',
    )
    parser.add_argument(
        '--biased', action='store_true', help='use the biased HSIC'
    )
    parser.add_argument(
        '--share',
        type=float,
        default=0.001,
        help='fraction of the largest contribution of active channels (0.001)',
    )
    parser.add_argument(
        '--with',
        dest='others',
        nargs='+',
        default=[],
        metavar='JSON',
        help='features.json of other analyses, to be added to capacity.png',
    )


def run(args: argparse.Namespace) -> None:
    from kd_det.analysis.compare_features import analyze
    from kd_det.api import launch

    analyze(
        launch.prepare_from(args),
        args.checkpoints,
        args.out,
        args.num_images,
        args.minibatch,
        args.biased,
        args.share,
        args.others,
    )

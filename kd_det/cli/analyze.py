"""Compare feature maps of a teacher and of students: CKA, norms, neurons."""

import argparse

from kd_det.cli.arguments import add_run_arguments, add_teacher


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    parser.add_argument(
        'checkpoints', nargs='+', metavar='CKPT', help='of the student'
    )
    add_teacher(parser)
    parser.add_argument('--out', help='folder to write to (the work dir)')
    parser.add_argument(
        '--num-images', type=int, default=1000, help='of the test data (1000)'
    )
    parser.add_argument(
        '--minibatch',
        type=int,
        default=0,
        metavar='N',
        help='samples that CKA compares at a time (0: all at once)',
    )
    parser.add_argument(
        '--biased', action='store_true', help='the plain HSIC in CKA'
    )
    parser.add_argument(
        '--share',
        type=float,
        default=0.001,
        help='of the largest contribution, for an active channel (0.001)',
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
    )

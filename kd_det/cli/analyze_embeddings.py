"""Draw what an embedding finds and how it spreads the classes."""

import argparse

from kd_det.cli.arguments import add_run_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint of the network')
    parser.add_argument('--out', help='folder of the pictures (the work dir)')
    parser.add_argument(
        '--queries', type=int, default=8, help='images searched for (8)'
    )
    parser.add_argument(
        '--neighbours', type=int, default=10, help='shown for each (10)'
    )
    parser.add_argument(
        '--classes', type=int, default=10, help='classes projected (10)'
    )
    parser.add_argument('--seed', type=int, default=0, help='of the choice')


def run(args: argparse.Namespace) -> None:
    from kd_det.analysis.embedding_report import analyze
    from kd_det.api import launch

    analyze(
        launch.prepare_from(args),
        args.checkpoint,
        args.out,
        args.queries,
        args.neighbours,
        args.classes,
        args.seed,
    )

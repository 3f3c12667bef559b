"""Draw retrieval results and a projection of an embedding."""

import argparse

from kd_det.cli.arguments import add_run_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint of the network')
    parser.add_argument('--out', help='output folder (the work directory)')
    parser.add_argument(
        '--queries', type=int, default=8, help='number of query images (8)'
    )
    parser.add_argument(
        '--neighbours', type=int, default=10, help='neighbours per query (10)'
    )
    parser.add_argument(
        '--classes', type=int, default=10, help='classes to project (10)'
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='seed for choosing them'
    )


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

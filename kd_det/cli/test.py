"""Evaluate a student or a plain network with the config's metric."""

import argparse

from kd_det.cli.arguments import add_run_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint of the student')
    parser.add_argument(
        '--out',
        metavar='PREFIX',
        help='write predictions to PREFIX.bbox.json (classifier: PREFIX.pkl)',
    )
    parser.add_argument(
        '--show-dir', help='folder for images with predictions'
    )
    parser.add_argument(
        '--keys', help='key mapping for a checkpoint of another code base'
    )


def run(args: argparse.Namespace) -> None:
    from kd_det.api import launch

    cfg = launch.prepare_from(args)
    runner = launch.tester(
        cfg,
        args.checkpoint,
        args.out,
        args.show_dir,
        args.trust_pickle,
        args.keys,
    )
    runner.test()

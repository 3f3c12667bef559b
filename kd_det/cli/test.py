"""Evaluate a student, or any plain network, by its config's metric."""

import argparse

from kd_det.cli.arguments import add_run_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint of the student')
    parser.add_argument(
        '--out',
        metavar='PREFIX',
        help='write predictions to PREFIX.bbox.json (classes: PREFIX.pkl)',
    )
    parser.add_argument(
        '--show-dir', help='write images with the predictions here'
    )
    parser.add_argument(
        '--keys', help='key mapping of a file of another code base'
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

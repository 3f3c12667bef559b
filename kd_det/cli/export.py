"""Export a distilled student as config and checkpoint of a plain network."""

import argparse

from kd_det.cli.arguments import add_run_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser, 'unused: files are written to out_dir')
    parser.add_argument('checkpoint', help='training checkpoint')
    parser.add_argument('out_dir', help='folder for student.py, student.pth')
    parser.add_argument(
        '--num-images',
        type=int,
        default=4,
        help='test images for comparing predictions (4)',
    )


def run(args: argparse.Namespace) -> None:
    from kd_det.api import launch
    from kd_det.api.export import export_student

    cfg = launch.prepare_from(args)
    export_student(
        cfg, args.checkpoint, args.out_dir, args.num_images, args.trust_pickle
    )

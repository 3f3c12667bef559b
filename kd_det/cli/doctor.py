"""Check a training run before it starts."""

import argparse
import contextlib
import io
import json
import sys
from pathlib import Path

from kd_det.cli import env
from kd_det.cli.arguments import add_run_arguments, add_teacher


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    add_teacher(parser)
    parser.add_argument(
        '--images',
        type=int,
        default=50,
        help='validation images to evaluate the teacher on (50)',
    )
    parser.add_argument(
        '--sheet',
        metavar='FILE.png',
        help='picture of augmented training images with their boxes '
        '(<work dir>/doctor.png)',
    )
    parser.add_argument(
        '--json', metavar='FILE', help='also write the report as JSON'
    )
    parser.add_argument('--seed', type=int, default=0, help='of the run (0)')


def run(args: argparse.Namespace) -> None:
    """Print the report; exit with 1 if there is a problem."""
    from kd_det.api import launch
    from kd_det.doctor.examine import examine
    from kd_det.doctor.findings import Section, as_json, report
    from kd_det.files import atomic_write, check_output

    if args.json:
        check_output(args.json)
    cfg = launch.prepare_from(args)
    sheet = args.sheet or str(Path(cfg.work_dir) / 'doctor.png')
    check_output(sheet)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        problems = env.problems()
    found = printed.getvalue().splitlines()
    sections = [Section('Environment', found, problems=problems)]
    with contextlib.redirect_stdout(sys.stderr):  # output of the evaluation
        sections += examine(cfg, sheet, args.images, args.seed)
    print(report(sections))
    if args.json:
        with atomic_write(args.json) as file:
            file.write(json.dumps(as_json(sections), indent=2).encode())
    if any(section.problems for section in sections):
        sys.exit(1)

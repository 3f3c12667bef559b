"""Print what a config's teacher costs under each of its switches."""

import argparse

from kd_det.api import launch
from kd_det.cli import run_tool
from kd_det.cli.arguments import add_run_arguments
from kd_det.engine.benchmark import teacher_switches
from kd_det.engine.comparison import table


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_run_arguments(parser)
    parser.add_argument(
        '--teacher', metavar='CKPT', help='checkpoint of the teacher'
    )
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=(192, 256),
        metavar=('H', 'W'),
        help='of the images, in pixels',
    )
    parser.add_argument('--batch-size', type=int, default=4, help='images')
    parser.add_argument('--rounds', type=int, default=7, help='calls of each')
    args = parser.parse_args()
    rows = teacher_switches(
        launch.prepare_from(args), args.size, args.batch_size, args.rounds
    )
    print(table(rows, ratio=rows[0]))


if __name__ == '__main__':
    run_tool(main)

"""Distil a small detector on made-up images: make, train, compare, show."""

import argparse

from kd_det.engine import demo, launch


def main() -> None:
    """Parse the arguments and run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--work-dir',
        default='work_dirs/demo',
        help='where to write (work_dirs/demo)',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='of everything random (0)'
    )
    parser.add_argument(
        '--fresh', action='store_true', help='redo what is finished'
    )
    args = parser.parse_args()
    demo.run(args.work_dir, args.seed, args.fresh)


if __name__ == '__main__':
    launch.run_tool(main)

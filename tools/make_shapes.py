"""Generate the procedural detection data set "shapes" in COCO format."""

import argparse
import sys
from collections.abc import Sequence

from kd_det.datasets import make_shapes
from kd_det.errors import UserError


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        '--out', default='data/shapes', metavar='DIR', help='output folder'
    )
    parser.add_argument(
        '--train', type=int, default=1000, metavar='N', help='training images'
    )
    parser.add_argument(
        '--val', type=int, default=500, metavar='N', help='validation images'
    )
    parser.add_argument(
        '--size',
        type=int,
        default=128,
        metavar='PX',
        help='image width and height',
    )
    parser.add_argument(
        '--seed', type=int, default=0, metavar='S', help='random seed'
    )
    return parser.parse_args(argv)


if __name__ == '__main__':
    args = parse_args()
    try:
        print(
            make_shapes(args.out, args.train, args.val, args.size, args.seed)
        )
    except UserError as error:
        # Not run_tool, since no framework is needed to create data.
        print(f'error: {error}', file=sys.stderr)
        sys.exit(2)

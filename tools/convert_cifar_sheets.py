"""Convert CIFAR-10 from sheets to the layout of its official archive."""

import argparse
import sys
from collections.abc import Sequence

from kd_det.datasets.cifar_sheets import convert_sheets
from kd_det.errors import UserError


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('sheets', help='folder of index.json and the sheets')
    parser.add_argument('out', help='output folder, e.g. data/cifar10')
    return parser.parse_args(argv)


if __name__ == '__main__':
    args = parse_args()
    try:
        print(convert_sheets(args.sheets, args.out))
    except (UserError, FileNotFoundError) as error:
        # Not run_tool: data can be made before a framework is there.
        print(f'error: {error}', file=sys.stderr)
        sys.exit(2)

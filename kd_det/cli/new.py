"""Write the config of a pair of detectors, and say which methods fit it."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_pair(parser)
    parser.add_argument(
        '--out', required=True, metavar='FILE', help='config to write'
    )
    parser.add_argument(
        '--force', action='store_true', help='replace the file if it exists'
    )


def add_pair(parser: argparse.ArgumentParser) -> None:
    """Add the networks, the data and the method."""
    parser.add_argument(
        '--student',
        required=True,
        metavar='CFG',
        help='config of the student: a file, kd_det::NAME or mmdet::NAME',
    )
    parser.add_argument(
        '--teacher', required=True, metavar='CFG', help='the same'
    )
    parser.add_argument(
        '--ckpt',
        required=True,
        metavar='FILE',
        help='checkpoint of the teacher: a file, URL or pip://NAME',
    )
    parser.add_argument(
        '--data', required=True, metavar='FOLDER', help="in COCO's layout"
    )
    parser.add_argument(
        '--classes',
        metavar='A,B',
        help='class names in label order (those with boxes)',
    )
    parser.add_argument(
        '--method',
        metavar='NAME',
        help='a file of configs/_base_/methods, with or without _roi or '
        '_dense (stitch, or the next that fits)',
    )


def pair_of(args: argparse.Namespace) -> dict:
    """Return the arguments of :func:`add_pair` as those of the functions."""
    names = ('student', 'teacher', 'ckpt', 'data', 'method')
    pair = {name: getattr(args, name) for name in names}
    return dict(pair, classes=args.classes and tuple(args.classes.split(',')))


def run(args: argparse.Namespace) -> None:
    from kd_det.api.pair import new_pair

    new_pair(out=args.out, force=args.force, **pair_of(args))
    print(f'Train it: kd_det train {args.out}')

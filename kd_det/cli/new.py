"""Write the config of a pair of detectors, and list the methods that fit."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_pair(parser)
    parser.add_argument(
        '--out', required=True, metavar='FILE', help='config file to write'
    )
    parser.add_argument(
        '--force', action='store_true', help='replace an existing file'
    )


def add_pair(parser: argparse.ArgumentParser) -> None:
    """Add arguments for the networks, the data and the method."""
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
        help='teacher checkpoint: a file, URL or pip://NAME',
    )
    parser.add_argument(
        '--data', required=True, metavar='FOLDER', help='folder in COCO layout'
    )
    parser.add_argument(
        '--classes',
        metavar='A,B',
        help='class names in label order (classes with boxes)',
    )
    parser.add_argument(
        '--method',
        metavar='NAME',
        help='a file in configs/_base_/methods, with or without _roi, _dense '
        'or _query (stitch, or the next that fits)',
    )


def pair_of(args: argparse.Namespace) -> dict:
    """Convert the arguments of :func:`add_pair` to keyword arguments."""
    names = ('student', 'teacher', 'ckpt', 'data', 'method')
    pair = {name: getattr(args, name) for name in names}
    return dict(pair, classes=args.classes and tuple(args.classes.split(',')))


def run(args: argparse.Namespace) -> None:
    from kd_det.api.pair import new_pair

    new_pair(out=args.out, force=args.force, **pair_of(args))
    print(f'Train it: kd_det train {args.out}')

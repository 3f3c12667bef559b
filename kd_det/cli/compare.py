"""Compare the scores of two runs, or of two groups of seeds, by class."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'runs',
        nargs='+',
        metavar='RUN',
        help='two work directories; or those of all seeds of one group, and '
        '--with those of the other',
    )
    parser.add_argument(
        '--with',
        nargs='+',
        dest='others',
        metavar='RUN',
        help='work directories of the second group, with the same seeds',
    )
    parser.add_argument(
        '--resamples',
        type=int,
        default=1000,
        metavar='N',
        help='bootstrap samples over images (1000)',
    )
    parser.add_argument(
        '--out', metavar='FILE.json', help='also write the numbers as JSON'
    )


def run(args: argparse.Namespace) -> None:
    from kd_det.analysis.compare_runs import compare_runs
    from kd_det.errors import UserError

    first, second = args.runs, args.others
    if second is None:
        if len(first) != 2:
            raise UserError(
                f'compare got {len(first)} RUN without --with; two are '
                'accepted, or the runs of one group, --with, and those of '
                'the other.'
            )
        first, second = first[:1], first[1:]
    print(compare_runs(first, second, args.resamples, args.out))

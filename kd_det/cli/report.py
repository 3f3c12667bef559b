"""Write an HTML report about one or more runs, and its numbers as JSON."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'runs',
        nargs='+',
        metavar='RUN',
        help='work dirs; the first is the one the others are compared with',
    )
    parser.add_argument(
        '--out',
        default='report.html',
        metavar='FILE.html',
        help='the page (report.html); the numbers go to the .json next to it',
    )
    parser.add_argument(
        '--resamples',
        type=int,
        default=1000,
        metavar='N',
        help='samples of the bootstrap over images (1000)',
    )


def run(args: argparse.Namespace) -> None:
    from kd_det.analysis.report import report

    out = report(args.runs, args.out, args.resamples)
    print(f'Wrote {out} and {out.with_suffix(".json")}')

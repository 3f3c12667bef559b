"""Write a page about one run or several: scores, curves, settings, images."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'runs',
        nargs='+',
        metavar='RUN',
        help='work dirs; the others are compared with the first',
    )
    parser.add_argument(
        '--out',
        default='report.html',
        metavar='FILE.html',
        help='the page (report.html); its numbers stand beside it as .json',
    )
    parser.add_argument(
        '--resamples',
        type=int,
        default=1000,
        metavar='N',
        help='draws of the bootstrap over images (1000)',
    )


def run(args: argparse.Namespace) -> None:
    from kd_det.analysis.report import report

    out = report(args.runs, args.out, args.resamples)
    print(f'Wrote {out} and {out.with_suffix(".json")}')

"""Measure a training step against the student alone and the floor."""

import argparse

from kd_det.cli.arguments import add_run_arguments, add_teacher


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    add_teacher(parser)
    parser.add_argument(
        '--rounds',
        type=int,
        default=11,
        help='times that each row is measured (11)',
    )
    parser.add_argument(
        '--threads',
        type=int,
        default=1,
        help='torch threads on a CPU; 1 measures CPU time (1)',
    )
    parser.add_argument(
        '--switches',
        action='store_true',
        help="also measure the teacher's backbone and neck with each of its "
        'speed options',
    )
    parser.add_argument(
        '--mmrazor',
        action='store_true',
        help="also measure the same pair and losses in mmrazor's algorithms",
    )
    parser.add_argument(
        '--json', metavar='FILE', help='also write all rounds as JSON'
    )


def run(args: argparse.Namespace) -> None:
    from kd_det.api import launch
    from kd_det.benchmark.benchmark import benchmark
    from kd_det.benchmark.rows import save, text_of
    from kd_det.files import check_output

    if args.json:
        check_output(args.json, '--json')
    result = benchmark(
        launch.prepare_from(args),
        args.rounds,
        args.threads,
        args.switches,
        args.mmrazor,
    )
    print(text_of(result))
    if args.json:
        save(result, args.json)

"""Train networks in stages, each taught by the one before."""

import argparse

from kd_det.cli.arguments import add_run_arguments

ALONE = 3  # generations of a single config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(
        parser, 'output folder (work_dirs/<name of the last config>)', True
    )
    parser.add_argument(
        '--generations',
        type=int,
        help='how often the last config is trained, each time taught by its '
        f'student before ({ALONE} for a single config, 1 for several)',
    )
    parser.add_argument(
        '--teacher', metavar='CKPT', help='checkpoint of the first teacher'
    )
    parser.add_argument('--seed', type=int, help='random seed of each stage')
    parser.add_argument(
        '--margin',
        type=float,
        metavar='SCORE',
        help='stop when the validation is not better by this much than in the '
        'generations before (train all)',
    )
    parser.add_argument(
        '--metric',
        metavar='NAME',
        help='score that has to improve (the first of the validation)',
    )


def run(args: argparse.Namespace) -> None:
    from kd_det.api import launch
    from kd_det.api.stages import train_stages

    cfgs = [
        launch.prepare_from(
            argparse.Namespace(
                **vars(args) | dict(config=config, teacher=teacher)
            )
        )
        for config, teacher in zip(
            args.configs, [args.teacher, *[None] * len(args.configs)]
        )
    ]
    generations = args.generations
    if generations is None:
        generations = 1 if len(cfgs) > 1 else ALONE
    train_stages(cfgs, generations, args.seed, args.margin, args.metric)

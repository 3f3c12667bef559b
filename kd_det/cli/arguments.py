"""Arguments shared by all commands with a config."""

import argparse


class Options(argparse.Action):
    """MMEngine's ``--cfg-options``, imported on use."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        for value in values:
            if '=' not in value:
                parser.error(
                    f'{option_string} {value}: KEY=VALUE is accepted, e.g. '
                    'data_root=data/coco'
                )
        from mmengine.config import DictAction

        action = DictAction(self.option_strings, self.dest, self.nargs)
        action(parser, namespace, values, option_string)


def add_run_arguments(
    parser: argparse.ArgumentParser,
    work_dir: str = 'output folder (work_dirs/<config name>)',
    several: bool = False,
) -> None:
    """Add the config and options that change it.

    Args:
        parser: Parser whose result goes to ``kd_det.api.launch.prepare_from``.
        work_dir: Help text of ``--work-dir``.
        several: Whether to accept one or more configs, as ``configs``.
    """
    config = 'config file, or kd_det::NAME for a config of kd_det'
    if several:
        parser.add_argument('configs', nargs='+', help=config)
    else:
        parser.add_argument('config', help=config)
    parser.add_argument('--work-dir', help=work_dir)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        help='job launcher (detected automatically under torchrun)',
    )
    parser.add_argument(
        '--trust-pickle',
        action='store_true',
        help='allow checkpoints and pickled annotations to execute code',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Options,
        metavar='KEY=VALUE',
        help='config overrides, e.g. data_root=data/coco',
    )


def add_teacher(parser: argparse.ArgumentParser) -> None:
    """Add ``--teacher``."""
    parser.add_argument(
        '--teacher', metavar='CKPT', help='checkpoint of the teacher'
    )

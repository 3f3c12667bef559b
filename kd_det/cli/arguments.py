"""The arguments that every command with a config has."""

import argparse


class Options(argparse.Action):
    """MMEngine's ``--cfg-options``, imported when they are used."""

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
    work_dir: str = 'where to write (work_dirs/<config name>)',
) -> None:
    """Add the config and what changes how it is read.

    Args:
        parser: What it parses is for ``kd_det.api.launch.prepare_from``.
        work_dir: Help of ``--work-dir``.
    """
    parser.add_argument(
        'config', help='config file, or kd_det::NAME for one of this package'
    )
    parser.add_argument('--work-dir', help=work_dir)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        help='job launcher (found by itself under torchrun)',
    )
    parser.add_argument(
        '--trust-pickle',
        action='store_true',
        help='let the checkpoints of this run execute code; vouch for them',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Options,
        metavar='KEY=VALUE',
        help='overrides, e.g. data_root=data/coco',
    )


def add_teacher(parser: argparse.ArgumentParser) -> None:
    """Add ``--teacher``."""
    parser.add_argument(
        '--teacher', metavar='CKPT', help='checkpoint of the teacher'
    )

"""Check losses, AMP, synchronisation, memory, speed and resume on a GPU."""

import argparse
import logging
import os
import sys
import warnings

from kd_det.files import check_output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--device',
        choices=('cuda', 'cpu'),
        default='cuda',
        help='cpu: only the checks that need no GPU (cuda)',
    )
    parser.add_argument('--out', metavar='FILE.json', help='write the table')


def run(args: argparse.Namespace) -> None:
    if args.out:
        check_output(args.out)
    # both are read when torch first initialises the GPU
    os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    if args.device == 'cpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = ''
    warnings.simplefilter('ignore')
    logging.disable(logging.WARNING)  # only the table is of interest
    from kd_det.gpu_check import check

    failed = [r for r in check(args.device, args.out) if r.passed is False]
    sys.exit(1 if failed else 0)

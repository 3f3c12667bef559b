"""Check losses, AMP, waits, memory, times and resume on this machine's GPU."""

import argparse
import logging
import os
import sys
import warnings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--device',
        choices=('cuda', 'cpu'),
        default='cuda',
        help='cpu: what can be checked without a GPU (cuda)',
    )
    parser.add_argument('--out', metavar='FILE.json', help='write the table')


def run(args: argparse.Namespace) -> None:
    # both are read when torch first looks for a GPU
    os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    if args.device == 'cpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = ''
    warnings.simplefilter('ignore')
    logging.disable(logging.WARNING)  # the table is what is to be read
    from kd_det.gpu_check import check

    failed = [r for r in check(args.device, args.out) if r.passed is False]
    sys.exit(1 if failed else 0)

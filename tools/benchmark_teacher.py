"""Benchmark a config's teacher with each of its speed options."""

import argparse
import time
from functools import partial

import torch
from mmengine.config import Config

from benchmarks.comparison import Timing, check_least, compare, table
from kd_det.api import launch
from kd_det.cli import run_tool
from kd_det.cli.arguments import add_run_arguments
from kd_det.config import require_teacher
from kd_det.models import FrozenTeacher

SWITCHES = (
    dict(),
    dict(fuse_conv_bn=True),
    dict(fuse_conv_bn=True, channels_last=True),
    dict(fuse_conv_bn=True, channels_last=True, dtype='bfloat16'),
)


def teacher_switches(
    cfg: Config, size: tuple[int, int], batch_size: int, rounds: int
) -> list[Timing]:
    """Time the teacher's backbone and neck for each variant.

    Args:
        cfg: Config of a pair, from ``launch.prepare``.
        size: Height and width of the images, in pixels.
        batch_size: Images per call.
        rounds: Interleaved calls of each variant; the median is used.

    Returns:
        One timing per variant, named after its options; the error is that of
        the feature maps.

    Raises:
        UserError: The config has no teacher, or a number is below 1.
    """
    check_least(1, size=min(size), batch_size=batch_size, rounds=rounds)
    require_teacher(cfg)
    spec = {
        k: v for k, v in cfg.model.teacher.items() if k not in SWITCHES[-1]
    }
    images = torch.randn(batch_size, 3, *size)
    variants = {}
    for switch in SWITCHES:
        teacher = FrozenTeacher(dict(spec, **switch))
        if torch.cuda.is_available():
            images, teacher = images.cuda(), teacher.cuda()
        name = ', '.join(f'{k}={v}' for k, v in switch.items()) or 'none'
        variants[name] = partial(teacher.extract_feat, images)
    return compare('teacher', variants, rounds, float('inf'), _now)


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    """Parse the arguments and run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_run_arguments(parser)
    parser.add_argument('--teacher', metavar='CKPT', help='teacher checkpoint')
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=(192, 256),
        metavar=('H', 'W'),
        help='image height and width in pixels',
    )
    parser.add_argument('--batch-size', type=int, default=4, help='images')
    parser.add_argument(
        '--rounds', type=int, default=7, help='calls per variant (7)'
    )
    args = parser.parse_args()
    rows = teacher_switches(
        launch.prepare_from(args), args.size, args.batch_size, args.rounds
    )
    print(table(rows, ratio=rows[0]))


if __name__ == '__main__':
    run_tool(main)

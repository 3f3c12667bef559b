"""What a frozen teacher costs under each of its switches, side by side."""

import time

import torch
from mmengine.config import Config

from kd_det.errors import UserError
from kd_det.models import FrozenTeacher

SWITCHES = (
    dict(),
    dict(fuse_conv_bn=True),
    dict(fuse_conv_bn=True, channels_last=True),
    dict(fuse_conv_bn=True, channels_last=True, dtype='bfloat16'),
)


def teacher_switches(
    cfg: Config, size: tuple[int, int], batch_size: int, rounds: int
) -> list[dict]:
    """Time the teacher's backbone and neck, one variant after the other.

    Args:
        cfg: Of a pair, from ``launch.prepare``.
        size: Height and width of the images, in pixels.
        batch_size: Images a call.
        rounds: Calls of each variant, interleaved; their median counts.

    Returns:
        For each variant its ``switches``, ``ms`` a call, ``ratio`` to the
        plain teacher and largest relative ``error`` of a feature map.

    Raises:
        UserError: The config has no teacher.
    """
    if 'teacher' not in cfg.model:
        raise UserError(
            'The config has no teacher to time; use one whose model is a '
            "kd_det 'DistillModel'."
        )
    spec = {
        k: v for k, v in cfg.model.teacher.items() if k not in SWITCHES[-1]
    }
    teachers = [FrozenTeacher(dict(spec, **switch)) for switch in SWITCHES]
    images = torch.randn(batch_size, 3, *size)
    if torch.cuda.is_available():
        images = images.cuda()
        teachers = [teacher.cuda() for teacher in teachers]
    feats = [teacher.extract_feat(images) for teacher in teachers]  # warm-up
    times = [[] for _ in teachers]
    for _ in range(rounds):
        for teacher, spent in zip(teachers, times):
            begin = _now()
            teacher.extract_feat(images)
            spent.append(_now() - begin)
    medians = [sorted(spent)[rounds // 2] for spent in times]
    return [
        dict(
            switches=switch,
            ms=1000 * median,
            ratio=median / medians[0],
            error=_error(maps, feats[0]),
        )
        for switch, median, maps in zip(SWITCHES, medians, feats)
    ]


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _error(maps: tuple, plain: tuple) -> float:
    return max(
        float((a - b).abs().max() / b.abs().max()) for a, b in zip(maps, plain)
    )

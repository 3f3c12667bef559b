"""Distil, train, evaluate and export from Python: ``kd_det.distill(…)``."""

import itertools
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import infer_launcher

from kd_det.api import launch
from kd_det.api.export import export_student
from kd_det.api.pair import new_pair
from kd_det.config import load_config
from kd_det.errors import UserError
from kd_det.files import check_folder

LAST = 'last_checkpoint'  # MMEngine writes the path of the last one there
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Run:
    """A finished training.

    Attributes:
        work_dir: Folder with the config, the logs and the checkpoints.
        checkpoint: The last checkpoint; of a pair, it is the student's.
        metrics: Of the last validation, such as ``'coco/bbox_mAP'``; empty
            without one.
    """

    work_dir: Path
    checkpoint: Path
    metrics: dict[str, float] = field(default_factory=dict)


def distill(
    student: str,
    teacher: str,
    ckpt: str,
    data: str,
    classes: tuple[str, ...] | None = None,
    method: str | None = None,
    epochs: int | None = None,
    seed: int | None = 0,
    work_dir: str | None = None,
    options: dict | None = None,
) -> Run:
    """Distil a teacher into a student on a folder of images.

    Writes the config of the pair, ``pair.py`` of the work dir, as
    :func:`kd_det.api.pair.new_pair` does, and trains it.

    Args:
        student: Config of the student: a file, ``kd_det::NAME`` or
            ``mmdet::NAME``.
        teacher: Config of the teacher.
        ckpt: Checkpoint of the teacher: a file, URL or ``pip://NAME``.
        data: Folder in COCO's layout.
        classes: Class names in label order; without it those that have
            boxes in the training annotations.
        method: Name of a file in ``configs/_base_/methods``, where ``_roi``
            or ``_dense`` may be left out; without it stitched inheritance,
            or the next that fits.
        epochs: Length of the training; that of the config without it.
        seed: Of everything random.
        work_dir: Where to write; ``work_dirs/<student>_<method>`` without it.
        options: Dotted overrides of the pair's config.

    Returns:
        The work dir, the student's checkpoint and its metrics.

    Raises:
        FileNotFoundError: A config, the checkpoint or the data are missing.
        UserError: They do not fit, or the method does not.

    Example:
        >>> run = kd_det.distill(
        ...     student='small.py',
        ...     teacher='large.py',
        ...     ckpt='work_dirs/large/epoch_16.pth',
        ...     data='data/fruit',
        ... )
        >>> run.metrics['coco/bbox_mAP']
    """
    name = Path(student.rpartition('::')[2]).stem
    work_dir = str(work_dir or f'work_dirs/{name}_{method or "pair"}')
    check_folder(work_dir)
    pair = Path(work_dir) / 'pair.py'
    new_pair(student, teacher, ckpt, data, pair, classes, method, force=True)
    if epochs is not None:
        schedule = epoch_options(load_config(str(pair)), epochs)
        options = {**schedule, **(options or {})}
    return train(str(pair), work_dir=work_dir, options=options, seed=seed)


def train(
    cfg: str | Config,
    work_dir: str | None = None,
    options: dict | None = None,
    teacher: str | None = None,
    seed: int | None = None,
    resume: str | None = None,
    amp: bool = False,
) -> Run:
    """Train what a config describes, with or without a teacher.

    Args:
        cfg: A file, ``kd_det::NAME``, or a config that has been read.
        work_dir: Where to write; ``work_dirs/<config name>`` without it.
        options: Dotted overrides, e.g. ``{'data_root': 'data/coco'}``.
        teacher: Checkpoint that replaces the config's teacher checkpoint.
        seed: Of everything random.
        resume: ``'auto'`` for the last checkpoint of the work dir, or a
            file.
        amp: Mixed precision; needs an accelerator.

    Returns:
        The work dir, the last checkpoint and the metrics.

    Raises:
        FileNotFoundError: A config, data or a checkpoint is missing.
        UserError: They do not fit.
    """
    cfg = _prepare(cfg, work_dir, options, teacher)
    runner = launch.train(cfg, amp=amp, resume=resume, seed=seed)
    scalars = runner.message_hub.log_scalars
    metrics = {
        key.removeprefix('val/'): float(value.current())
        for key, value in scalars.items()
        if key.startswith('val/') and not key.endswith('time')
    }
    folder = Path(runner.work_dir)
    return Run(folder, Path((folder / LAST).read_text().strip()), metrics)


def evaluate(
    cfg: str | Config,
    checkpoint: str | Path,
    options: dict | None = None,
    work_dir: str | None = None,
) -> dict[str, float]:
    """Return the test metrics of a student, or of any plain network.

    Args:
        cfg: A file, ``kd_det::NAME``, or a config that has been read.
        checkpoint: A training checkpoint or an exported student.
        options: Dotted overrides, e.g. ``{'data_root': 'data/coco'}``.
        work_dir: Where to write; ``work_dirs/<config name>`` without it.

    Raises:
        FileNotFoundError: A config, data or the checkpoint is missing.
        UserError: They do not fit.
    """
    cfg = _prepare(cfg, work_dir, options)
    scores = launch.tester(cfg, str(checkpoint)).test()
    return {key: float(value) for key, value in scores.items()}


def export(
    cfg: str | Config,
    checkpoint: str | Path,
    out: str | Path,
    options: dict | None = None,
) -> tuple[Path, Path]:
    """Write a student as config and checkpoint of a plain network.

    Args:
        cfg: A file, ``kd_det::NAME``, or a config that has been read.
        checkpoint: A training checkpoint.
        out: Folder for ``student.py`` and ``student.pth``.
        options: Dotted overrides, e.g. ``{'data_root': 'data/coco'}``.

    Returns:
        The two files.

    Raises:
        FileNotFoundError: A config, data or the checkpoint is missing.
        UserError: They do not fit, or the exported student predicts
            something else.
    """
    cfg = _prepare(cfg, str(out), options)
    return export_student(cfg, str(checkpoint), str(out))


def _prepare(
    cfg: str | Config,
    work_dir: str | None,
    options: dict | None,
    teacher: str | None = None,
) -> Config:
    source = cfg if isinstance(cfg, Config) else str(cfg)
    work_dir = work_dir and str(work_dir)
    cfg = launch.prepare(source, work_dir, options, teacher, infer_launcher())
    # runs that begin in one second would share their logger
    name = cfg.get('experiment_name') or Path(cfg.filename or 'run').stem
    cfg.experiment_name = f'{name}_{next(_numbers)}'
    return cfg


def epoch_options(cfg: Config, epochs: int) -> dict:
    """Return the overrides that make a schedule longer or shorter.

    Args:
        cfg: With a schedule in epochs.
        epochs: Of the new schedule; whatever the learning rate does at an
            epoch is moved in proportion.

    Raises:
        UserError: ``epochs`` is below 1, or the schedule is in iterations.
    """
    if not isinstance(epochs, int) or epochs < 1:
        raise UserError(f'epochs={epochs!r}; an integer from 1 is accepted.')
    old = cfg.train_cfg.get('max_epochs')
    if not old:
        raise UserError(
            f'epochs={epochs}: the schedule of the student is in iterations; '
            'set train_cfg.max_iters by options (--cfg-options).'
        )
    options: dict = {'train_cfg.max_epochs': epochs}
    interval = cfg.train_cfg.get('val_interval', 1)
    options['train_cfg.val_interval'] = min(interval, epochs)
    schedulers = cfg.get('param_scheduler') or []
    if isinstance(schedulers, dict):
        schedulers = [schedulers]
    for number, scheduler in enumerate(schedulers):
        if not scheduler.get('by_epoch', True):
            continue
        for key in ('begin', 'end', 'T_max', 'milestones'):
            if key in scheduler:
                options[f'param_scheduler.{number}.{key}'] = _scaled(
                    scheduler[key], epochs / old
                )
    return options


def _scaled(value: int | list[int], ratio: float) -> int | list[int]:
    if isinstance(value, (list, tuple)):
        return [max(round(v * ratio), min(v, 1)) for v in value]
    return max(round(value * ratio), min(value, 1))

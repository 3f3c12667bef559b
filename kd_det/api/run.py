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

LAST = 'last_checkpoint'  # file in which MMEngine stores the path
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Run:
    """A finished training.

    Attributes:
        work_dir: Folder with the config, the logs and the checkpoints.
        checkpoint: The last checkpoint; for a pair, the student's.
        metrics: Metrics of the last validation, such as ``'coco/bbox_mAP'``;
            empty if there was none.
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

    Writes the config of the pair to ``pair.py`` in the work directory, like
    :func:`kd_det.api.pair.new_pair`, and trains it.

    Args:
        student: Config of the student: a file, ``kd_det::NAME`` or
            ``mmdet::NAME``.
        teacher: Config of the teacher, likewise.
        ckpt: Teacher checkpoint: a file, URL or ``pip://NAME``.
        data: Folder in COCO layout.
        classes: Class names in label order; default: those with boxes in the
            training annotations.
        method: Name of a file in ``configs/_base_/methods``, with or without
            ``_roi`` or ``_dense``; default: stitched inheritance, or the next
            that fits.
        epochs: Number of epochs; default: as in the config.
        seed: Random seed.
        work_dir: Output folder; default: ``work_dirs/<student>_<method>``.
        options: Dotted overrides of the pair's config.

    Returns:
        The work directory, the student's checkpoint and its metrics.

    Raises:
        FileNotFoundError: A config, the checkpoint or the data is missing.
        UserError: They do not match, or the method does not fit.

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
    """Train a config, with or without a teacher.

    Args:
        cfg: Config file, ``kd_det::NAME``, or config object.
        work_dir: Output folder; default: ``work_dirs/<config name>``.
        options: Dotted overrides, e.g. ``{'data_root': 'data/coco'}``.
        teacher: Checkpoint that replaces the config's teacher checkpoint.
        seed: Random seed.
        resume: ``'auto'`` for the last checkpoint in the work directory, or a
            file.
        amp: Whether to use mixed precision; requires an accelerator.

    Returns:
        The work directory, the last checkpoint and the metrics.

    Raises:
        FileNotFoundError: A config, data or a checkpoint is missing.
        UserError: They do not match.
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
    """Return the test metrics of a student or a plain network.

    Args:
        cfg: Config file, ``kd_det::NAME``, or config object.
        checkpoint: A training checkpoint or an exported student.
        options: Dotted overrides, e.g. ``{'data_root': 'data/coco'}``.
        work_dir: Output folder; default: ``work_dirs/<config name>``.

    Raises:
        FileNotFoundError: A config, data or the checkpoint is missing.
        UserError: They do not match.
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
    """Export a student as config and checkpoint of a plain network.

    Args:
        cfg: Config file, ``kd_det::NAME``, or config object.
        checkpoint: A training checkpoint.
        out: Folder for ``student.py`` and ``student.pth``.
        options: Dotted overrides, e.g. ``{'data_root': 'data/coco'}``.

    Returns:
        Paths of the two files.

    Raises:
        FileNotFoundError: A config, data or the checkpoint is missing.
        UserError: They do not match, or the exported student's predictions
            differ.
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
    # runs that start within one second would share a logger
    name = cfg.get('experiment_name') or Path(cfg.filename or 'run').stem
    cfg.experiment_name = f'{name}_{next(_numbers)}'
    return cfg


def epoch_options(cfg: Config, epochs: int) -> dict:
    """Return the overrides that change the length of a schedule.

    Args:
        cfg: Config with a schedule in epochs.
        epochs: New number of epochs; learning-rate milestones are scaled in
            proportion.

    Raises:
        UserError: ``epochs`` is below 1, or the schedule is in iterations.
    """
    if not isinstance(epochs, int) or epochs < 1:
        raise UserError(
            f'epochs={epochs!r}; an integer of at least 1 is accepted.'
        )
    old = cfg.train_cfg.get('max_epochs')
    if not old:
        raise UserError(
            f"epochs={epochs}: the student's schedule is in iterations; set "
            'train_cfg.max_iters with options (--cfg-options).'
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

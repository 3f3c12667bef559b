"""Calibration of loss weights by gradient shares."""

import os.path as osp
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from statistics import median

from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.hooks import Hook

from kd_det.checks import check_count, check_positive
from kd_det.config import set_seed
from kd_det.errors import UserError, counted
from kd_det.files import atomic_write, check_output
from kd_det.models.unwrap import unwrap
from kd_det.precompute.gradient_shares import (
    GradientShare,
    loss_scale_of,
    step_shares,
)
from kd_det.precompute.short_run import Done, short_run
from kd_det.preflight.data import check_data
from kd_det.progress import track

STEPS = 100
BATCHES = 16


@dataclass(frozen=True)
class Calibration:
    """Measurements of one loss at its current ``loss_weight``.

    Attributes:
        given: The current weight.
        share: Median over batches of the loss's gradient norm relative to that
            of the task loss.
        low: Minimum over batches.
        high: Maximum over batches.
        cosine: Median cosine between the two gradients.
        weight: The ``loss_weight`` that gives the target share.
    """

    given: float
    share: float
    low: float
    high: float
    cosine: float
    weight: float


class _Calibrate(Hook):
    """Keep the shares at the target during training, then measure."""

    def __init__(
        self, target: float, steps: int, batches: int, progress: Iterator[int]
    ) -> None:
        self.target, self.steps, self.batches = target, steps, batches
        self.progress = progress
        # 1, 2, 4, …: shares change quickly at first
        self.held = {2**i for i in range(steps.bit_length())}
        self.handle = None
        self.found: list[dict[str, GradientShare]] = []

    def before_train(self, runner) -> None:
        self.model = unwrap(runner.model)
        self.losses = self.model.learner()[1]
        if self.steps == 0:
            self._stand_still(runner)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        next(self.progress, None)
        step = runner.iter + 1
        if step > self.steps or step in self.held:
            self.handle = self.model.register_forward_hook(
                lambda model, args, output: self._look(runner, step, output)
            )

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ) -> None:
        if self.handle is not None:
            self.handle.remove()
            self.handle = None
        if runner.iter + 1 == self.steps:
            self._stand_still(runner)
        if len(self.found) == self.batches:
            raise Done

    def _stand_still(self, runner) -> None:
        runner.optim_wrapper.update_params = lambda loss: None
        runner.param_schedulers = None

    def _look(self, runner, step: int, output: dict) -> None:
        shares = step_shares(
            self.model, output, loss_scale=loss_scale_of(runner)
        )
        if step > self.steps:
            self.found.append(shares)
            return
        for key, share in shares.items():
            if share.usable:
                self.losses[key].scale *= self.target / share.share


def calibrate_config(
    cfg: Config,
    target: float = 0.5,
    steps: int = STEPS,
    batches: int = BATCHES,
    out: str | None = None,
    seed: int = 0,
    base: str | None = None,
) -> dict[str, Calibration]:
    """Calibrate loss weights, print them and write them to a config.

    Args:
        cfg: Config from :func:`kd_det.api.launch.prepare`.
        target: See :func:`calibrate`.
        steps: See :func:`calibrate`.
        batches: See :func:`calibrate`.
        out: Child config to write.
        seed: Random seed.
        base: Name of the config in ``_base_``; default: its path.

    Returns:
        Loss key, ``<distiller>.<loss>`` -> measurements.

    Raises:
        UserError: See :func:`calibrate`; or ``out`` is not a config name.
    """
    if out:
        check_child(cfg.filename, out)
    check_data(cfg, ('train',))
    set_seed(cfg, seed)
    found = calibrate(cfg, target, steps, batches)
    if get_rank() == 0:
        print(table_of(found, target))
        if out:
            write_child(cfg, out, found, target, base)
            print(f'Wrote {out}')
    return found


def calibrate(
    cfg: Config,
    target: float = 0.5,
    steps: int = STEPS,
    batches: int = BATCHES,
) -> dict[str, Calibration]:
    """Find the weights that give each loss a target gradient share.

    Since gradients in the first steps are misleading, a copy of the student is
    first trained for some steps of the config's run, without loss schedules
    and with the losses kept at the target. Then the median over some batches
    is measured without updates.

    Args:
        cfg: Config from :func:`kd_det.api.launch.prepare`.
        target: Target share of each loss.
        steps: Number of training steps; 0 measures the initial student.
        batches: Number of batches to measure.

    Returns:
        Loss key, ``<distiller>.<loss>`` -> measurements.

    Raises:
        UserError: An argument is out of range, the training is too short, the
            model is not a pair, or a loss has no usable gradient.
    """
    check_positive('calibrate', 'target', target)
    check_count('calibrate', 'steps', steps, 0)
    check_count('calibrate', 'batches', batches, 1)
    if 'student' not in cfg.model:
        raise UserError(
            'calibrate needs a student and a teacher, but the model of the '
            f'config is a {cfg.model.get("type")}; use a config of a kd_det '
            "'DistillModel'."
        )
    if not cfg.model.get('distillers'):
        raise UserError(
            'The config has no distiller, so there is no weight to '
            "calibrate; add one such as distillers=dict(roi=dict(type='…', "
            '…)).'
        )
    silent = get_rank() != 0
    if not silent:
        first = 'Training a temporary copy for ' + counted(steps, 'step')
        print(
            f'{first}, then measuring {counted(batches, "batch", "batches")}.',
            flush=True,
        )
    progress = track(range(steps + batches), 'Calibration', silent=silent)
    hook = _Calibrate(target, steps, batches, progress)
    with closing(progress):
        short_run(cfg, hook, steps + batches)
        next(progress, None)  # the last batch is done as well
    return {
        key: _summary(key, loss, hook.found, target)
        for key, loss in hook.losses.items()
    }


def _summary(key, loss, found: list[dict], target: float) -> Calibration:
    given = loss.config_weight
    if given == 0:
        raise UserError(
            f'{key} has loss_weight=0 and therefore no gradient to measure; '
            'use another weight, such as 1.'
        )
    if any(key not in shares for shares in found):
        raise UserError(
            f'{key} shares no student weights with the task loss, so it '
            'cannot be calibrated; set its weight by hand.'
        )
    shares = [s[key].share / loss.scale for s in found if s[key].usable]
    if 2 * len(shares) <= len(found):
        raise UserError(
            f'The gradient of {key}, or that of the task loss, is zero or '
            f'not finite in {len(found) - len(shares)} of {len(found)} '
            'batches; use more --batches or other --steps, or set the '
            'weight by hand.'
        )
    share = median(shares)
    return Calibration(
        given,
        share,
        min(shares),
        max(shares),
        median(s[key].cosine for s in found if s[key].usable),
        float(f'{given * target / share:.3g}'),
    )


def table_of(found: dict[str, Calibration], target: float) -> str:
    """Format the measurements as a table.

    Args:
        found: Measurements from :func:`calibrate`.
        target: Target share.
    """
    rows = [
        ('loss', 'loss_weight', 'share', 'over the batches', 'cosine')
        + (f'weight for {target:g}',)
    ]
    for key, one in found.items():
        rows.append(
            (
                key,
                f'{one.given:g}',
                f'{one.share:.3g}',
                f'{one.low:.3g} to {one.high:.3g}',
                f'{one.cosine:.2f}',
                f'{one.weight:g}',
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows)]
    return '\n'.join(
        '  '.join(cell.ljust(n) for cell, n in zip(row, widths)).rstrip()
        for row in rows
    )


def check_child(config: str, out: str) -> None:
    """Raise if a child config cannot have this name.

    Args:
        config: Base config.
        out: File to write.

    Raises:
        UserError: It is not a config name, is the base itself, or cannot be
            written.
    """
    if not out.endswith('.py'):
        raise UserError(
            f'--out {out!r}: the name of a config must end in .py.'
        )
    if osp.realpath(config) == osp.realpath(out):
        raise UserError(
            f'--out {out!r} is the base config itself; use another name.'
        )
    check_output(out)


def write_child(
    cfg: Config,
    out: str,
    found: dict[str, Calibration],
    target: float,
    base: str | None = None,
) -> None:
    """Write a child config with the calibrated weights.

    Args:
        cfg: Base config.
        out: File to write.
        found: Measurements from :func:`calibrate`.
        target: Target share.
        base: Name of the config in ``_base_``; default: its path.
    """
    name = base or _relative(cfg.filename, out)
    distillers: dict[str, dict] = {}
    for key, one in found.items():
        distiller, _, loss = key.partition('.')
        own = dict(loss_weight=one.weight)
        if 'auto_weight' in cfg.model.distillers[distiller].losses[loss]:
            own['auto_weight'] = None
        distillers.setdefault(distiller, dict(losses={}))
        distillers[distiller]['losses'][loss] = own
    lines = (
        '"""The losses of the base, weighted by '
        f'`kd_det calibrate --target {target:g}`."""',
        '',
        f'_base_ = {name!r}',
        f'model = {dict(distillers=distillers)!r}',
        '',
    )
    with atomic_write(out) as file:
        file.write('\n'.join(lines).encode())


def _relative(config: str, out: str) -> str:
    """Return the path of a base config relative to a file.

    MMEngine resolves ``..`` textually. With symbolic links this would only
    work for one name of the file, so the path is absolute then.
    """
    config = osp.abspath(config)
    folder, name = osp.split(config)
    path = osp.relpath(config, osp.dirname(osp.abspath(out)))
    real = osp.relpath(
        osp.join(osp.realpath(folder), name), osp.dirname(osp.realpath(out))
    )
    return (path if path == real else config).replace(osp.sep, '/')

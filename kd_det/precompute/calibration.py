"""Calibration: the weights at which distillation pulls as hard as wanted."""

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
    """What was found of one loss, all at its present ``loss_weight``.

    Attributes:
        given: That weight.
        share: Norm of the loss's gradient over that of the task's, the
            median over the batches.
        low: The least of them.
        high: The greatest of them.
        cosine: Of the angle between the two gradients, the median.
        weight: The ``loss_weight`` that gives the target.
    """

    given: float
    share: float
    low: float
    high: float
    cosine: float
    weight: float


class _Calibrate(Hook):
    """Hold the shares at the target while training, then measure batches."""

    def __init__(
        self, target: float, steps: int, batches: int, progress: Iterator[int]
    ) -> None:
        self.target, self.steps, self.batches = target, steps, batches
        self.progress = progress
        # 1, 2, 4, …: shares move fast at first
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
    """Find loss weights by gradients, print them, write them to a config.

    Args:
        cfg: From :func:`kd_det.api.launch.prepare`.
        target: See :func:`calibrate`.
        steps: See there.
        batches: See there.
        out: Child config to write.
        seed: Of everything random.
        base: What the child calls the config; the path to it by default.

    Returns:
        Key of the loss, ``<distiller>.<loss>`` -> what was found.

    Raises:
        UserError: See there; or ``out`` is no name of a config.
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
    """Find the weights that give each loss a share of the task's gradient.

    A copy of the student is trained for some steps of the run that the
    config describes, without its schedules of the losses, while the losses
    are held at the target; gradients of the first steps mislead. Then it
    stands still, and the median over some batches is taken.

    Args:
        cfg: From :func:`kd_det.api.launch.prepare`.
        target: Share that each loss shall have.
        steps: Of training; 0 measures the student as it begins.
        batches: To measure on.

    Returns:
        Key of the loss, ``<distiller>.<loss>`` -> what was found.

    Raises:
        UserError: An argument is out of range, the training is shorter, the
            model is no pair, or a loss has no usable gradient.
    """
    check_positive('calibrate', 'target', target)
    check_count('calibrate', 'steps', steps, 0)
    check_count('calibrate', 'batches', batches, 1)
    if 'student' not in cfg.model:
        raise UserError(
            'calibrate is for a student and its teacher, and the model of '
            f'the config is a {cfg.model.get("type")}; give a config of a '
            "kd_det 'DistillModel'."
        )
    if not cfg.model.get('distillers'):
        raise UserError(
            'The config has no distiller, so that there is no weight to '
            "find; add one such as distillers=dict(roi=dict(type='…', …))."
        )
    silent = get_rank() != 0
    if not silent:
        first = 'Training a throw-away copy for ' + counted(steps, 'step')
        print(
            f'{first}, then measuring {counted(batches, "batch", "batches")}.',
            flush=True,
        )
    progress = track(range(steps + batches), 'Calibration', silent=silent)
    hook = _Calibrate(target, steps, batches, progress)
    with closing(progress):
        short_run(cfg, hook, steps + batches)
        next(progress, None)  # the last batch is done, too
    return {
        key: _summary(key, loss, hook.found, target)
        for key, loss in hook.losses.items()
    }


def _summary(key, loss, found: list[dict], target: float) -> Calibration:
    given = loss.config_weight
    if given == 0:
        raise UserError(
            f'{key} has loss_weight=0, so that it has no gradient to '
            'measure; give it another weight, such as 1.'
        )
    if any(key not in shares for shares in found):
        raise UserError(
            f'{key} shares no weight of the student with the task, so that '
            'no weight of it can be found; write one by hand.'
        )
    shares = [s[key].share / loss.scale for s in found if s[key].usable]
    if 2 * len(shares) <= len(found):
        raise UserError(
            f'The gradient of {key}, or that of the task, is zero or not '
            f'finite in {len(found) - len(shares)} of {len(found)} batches; '
            'take more --batches or other --steps, or write the weight by '
            'hand.'
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
    """Return what was found as lines for a terminal.

    Args:
        found: From :func:`calibrate`.
        target: That it was given.
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
    """Stop if a child config cannot have this name.

    Args:
        config: Its base.
        out: The file to write.

    Raises:
        UserError: It is no name of a config, or that of its base, or cannot
            be written.
    """
    if not out.endswith('.py'):
        raise UserError(
            f'--out {out!r}: a config ends in .py; give such a name.'
        )
    if osp.realpath(config) == osp.realpath(out):
        raise UserError(
            f'--out {out!r} is the config itself, whose child is to be '
            'written; give another name.'
        )
    check_output(out)


def write_child(
    cfg: Config,
    out: str,
    found: dict[str, Calibration],
    target: float,
    base: str | None = None,
) -> None:
    """Write a child of a config with the weights that were found.

    Args:
        cfg: The config.
        out: The file to write.
        found: From :func:`calibrate`.
        target: That it was given.
        base: What the child calls the config; the path to it by default.
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
    """Return the path from a file to its base, by whatever name it is read.

    MMEngine takes ``..`` as text. Where a link stands in the way, the text
    holds for one name of the file only, and the path is absolute.
    """
    config = osp.abspath(config)
    folder, name = osp.split(config)
    path = osp.relpath(config, osp.dirname(osp.abspath(out)))
    real = osp.relpath(
        osp.join(osp.realpath(folder), name), osp.dirname(osp.realpath(out))
    )
    return (path if path == real else config).replace(osp.sep, '/')

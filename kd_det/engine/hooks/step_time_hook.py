"""StepTimeHook: measure where the time of a training step goes."""

import time
from collections import defaultdict
from statistics import median

import torch
from mmengine.hooks import Hook
from torch import nn

from kd_det.models.unwrap import unwrap
from kd_det.registry import HOOKS

STEPS = range(11, 20)  # after warm-up, before periodic work such as logging
RECORD = 'step_seconds'  # key in the message hub and in run.json

WAIT = 'train/data_time'  # key in the message hub
NAMES = dict(
    losses='connectors and losses', backward='backward and optimiser'
)  # in the log, where they differ


@HOOKS.register_module()
class StepTimeHook(Hook):
    """Measure the time of each part of a training step, at steps 11 to 19.

    ``run.json`` then has the median seconds of each part under
    ``step_seconds``: ``preprocessing`` of the images, ``student``,
    ``teacher`` (its forward pass and reading the knowledge of both networks),
    ``losses`` (distillation losses and connectors) and ``backward`` (with the
    optimiser step). A model without a teacher has no ``teacher`` and no
    ``losses``; peers have no separate ``teacher``. Then one line in the log
    gives their shares, with that of waiting for data. These steps synchronise
    with the GPU; other steps have no overhead. ``kd_det train`` adds this
    hook automatically.

    Example:
        >>> custom_hooks = [dict(type='kd_det.StepTimeHook')]
    """

    priority = 'VERY_HIGH'  # work of other hooks after a step is not included

    def __init__(self) -> None:
        self._handles = []
        self._measured = defaultdict(list)  # part -> seconds by step
        self._waited: list[float] = []  # for data, by step

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Hook into the parts of the model at a measured step."""
        if runner.iter + 1 not in STEPS:
            return
        model = unwrap(runner.model)
        self._spent, self._first = defaultdict(float), None
        self._listen('preprocessing', model.data_preprocessor)
        self._listen('forward', model)
        if hasattr(model, 'student'):
            self._listen('student', model.student)
        for distiller in getattr(model, 'distill', {}).values():
            self._listen('losses', distiller)
            self._listen('losses', distiller.connectors)

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ) -> None:
        """Record the step's times, and the medians so far."""
        if not self._handles:
            return
        step = _now() - self._first
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        for part, seconds in _parts(self._spent, step).items():
            self._measured[part].append(seconds)
        if WAIT in runner.message_hub.log_scalars:  # of MMEngine's timer
            wait = runner.message_hub.get_scalar(WAIT).current()
            self._waited.append(wait)
        parts = {k: median(v) for k, v in self._measured.items()}
        runner.message_hub.update_info(RECORD, parts)
        if runner.iter + 1 in (STEPS[-1], runner.max_iters):
            runner.logger.info(cost_line(parts, self._waited))

    def _listen(self, part: str, module: nn.Module) -> None:
        began = []

        def begin(*_) -> None:
            began.append(_now())
            if self._first is None:
                self._first = began[-1]

        def end(*_) -> None:
            self._spent[part] += _now() - began.pop()

        self._handles += [
            module.register_forward_pre_hook(begin),
            module.register_forward_hook(end),
        ]


def cost_line(parts: dict[str, float], waited: list[float]) -> str:
    """Return the line of the log on what a step costs.

    Args:
        parts: Part -> seconds.
        waited: Seconds of waiting for data, by step; may be empty.
    """
    if waited:
        parts = dict(data=median(waited)) | parts
    step = sum(parts.values())
    shares = ', '.join(
        f'{NAMES.get(part, part)} {seconds / step:.0%}'
        for part, seconds in parts.items()
    )
    return f'A training step takes {step:.3g} s: {shares}.'


def _parts(spent: dict[str, float], step: float) -> dict[str, float]:
    """Return the seconds of each part of a step, from the measured times.

    Args:
        spent: Measured seconds; ``forward`` includes the student and the
            losses.
        step: Seconds of the whole step.
    """
    parts = dict(preprocessing=spent['preprocessing'])
    losses = spent.get('losses', 0.0)
    parts['student'] = spent.get('student', spent['forward'] - losses)
    if 'losses' in spent:
        if 'student' in spent:
            parts['teacher'] = spent['forward'] - parts['student'] - losses
        parts['losses'] = losses
    parts['backward'] = step - spent['preprocessing'] - spent['forward']
    return parts


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()

"""A hook that measures the first steps of a run, then ends it."""

import resource
import time
from statistics import median

import torch
from mmengine.hooks import Hook
from torch import Tensor, nn

from kd_det.engine.hooks import TeacherCheckHook
from kd_det.engine.hooks.step_time_hook import RECORD
from kd_det.engine.teacher_score import Score
from kd_det.models import DistillModel
from kd_det.models.unwrap import unwrap
from kd_det.precompute.gradient_shares import (
    GradientShare,
    loss_scale_of,
    step_shares,
)
from kd_det.precompute.short_run import Done
from kd_det.preflight.built import check_loop

STEPS = 20  # StepTimeHook measures 11 to 19; gradients are measured at 20


class FirstSteps(Hook):
    """Train for a few steps, measure the last one, and keep the results.

    Attributes:
        last: The measured step; the last one of a shorter run.
        model: The run's model.
        scores: Teacher checkpoint -> its scores.
        shares: Loss key -> its gradient share.
        shapes: Distiller -> field -> shape of the losses' inputs.
        losses: Loss key -> value in the last step.
        not_finite: Losses, gradients and weights that are not finite.
        moved: Parts of a teacher that changed, or that are in train mode.
        step_seconds: Part of a step -> seconds, and ``whole``.
        memory: Peak bytes of the GPU or the process.
        steps: Number of steps of the whole training run.
        unused: Warnings of optimiser settings without effect.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.scores: dict[str, list[Score]] = {}
        self.shares: dict[str, GradientShare] = {}
        self.shapes: dict[str, dict[str, list[int]]] = {}
        self.losses: dict[str, float] = {}
        self.not_finite: list[str] = []
        self.moved: list[str] = []
        self._seconds: list[float] = []

    def before_train(self, runner) -> None:
        """Record the teachers' state before the first step."""
        self.unused = check_loop(runner)
        self.model = unwrap(runner.model)
        self.steps = runner.train_loop.max_iters
        self.last = min(STEPS, self.steps)
        for hook in runner.hooks:
            if isinstance(hook, TeacherCheckHook):
                self.scores = hook.scores
        self._before = _still(self.model)
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Hook into the last step."""
        self._began = time.perf_counter()
        if runner.iter + 1 < self.last:
            return
        self.dataset = runner.train_dataloader.dataset
        self._handles = [
            self.model.register_forward_hook(
                lambda model, args, output: self._look(runner, output)
            )
        ]
        for name, distiller in getattr(self.model, 'distill', {}).items():
            self._handles.append(
                distiller.register_forward_pre_hook(
                    lambda module, args, name=name: self.shapes.update(
                        {name: _shapes(args[0])}
                    )
                )
            )

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ) -> None:
        """After the last step, collect the results and end the run."""
        self._seconds.append(time.perf_counter() - self._began)
        if runner.iter + 1 < self.last:
            return
        for handle in self._handles:
            handle.remove()
        for name, weight in self.model.named_parameters():
            for what, value in (('', weight), (' (gradient)', weight.grad)):
                if value is not None and not value.isfinite().all():
                    self.not_finite.append(name + what)
        self.moved = [  # those only for inheritance are freed
            key
            for key, value in _still(self.model).items()
            if key in self._before and not _same(value, self._before[key])
        ]
        parts = dict(runner.message_hub.get_info(RECORD) or {})
        whole = median(self._seconds[len(self._seconds) // 2 :])
        self.step_seconds = dict(parts, whole=whole)
        self.memory = (
            torch.cuda.max_memory_allocated()
            if torch.cuda.is_available()
            else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        )
        raise Done

    def _look(self, runner, output: dict) -> None:
        for key, value in output.items():
            if 'loss' in key:
                parts = [value] if isinstance(value, Tensor) else value
                self.losses[key] = sum(part.mean().item() for part in parts)
                if not all(part.isfinite().all() for part in parts):
                    self.not_finite.append(f'{key} (loss)')
        if isinstance(self.model, DistillModel) and self.model.distill:
            self.shares = step_shares(
                self.model, output, loss_scale=loss_scale_of(runner)
            )


def _still(model: nn.Module) -> dict[str, Tensor | bool]:
    """Return copies of each teacher's state that must not change."""
    found: dict[str, Tensor | bool] = {}
    for name, teacher in getattr(model, 'teachers', {}).items():
        for key, value in teacher.model.state_dict().items():
            found[f'{name}.{key}'] = value.clone()
        for key, module in teacher.model.named_modules():
            found[f'{name}.{key} (mode)'] = module.training
    return found


def _same(one: Tensor | bool, other: Tensor | bool) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    return one == other


def _shapes(knowledge: dict) -> dict[str, list]:
    """Return the shapes of the fields that a distiller's losses read."""
    return {
        key: [list(level.shape) for level in value]
        if isinstance(value, (list, tuple))
        else list(value.shape)
        for key, value in knowledge.items()
        if isinstance(value, Tensor)
        or (
            isinstance(value, (list, tuple))
            and all(isinstance(level, Tensor) for level in value)
        )
    }

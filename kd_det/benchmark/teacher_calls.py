"""TeacherCalls: what a step runs of a teacher, to run it again alone."""

from collections.abc import Callable
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from kd_det.models import FrozenTeacher


class TeacherCalls:
    """The outermost calls of the teachers in a step, with their inputs.

    Layers of a teacher that are applied to what the student computed, with a
    gradient, belong to the losses and are left out.

    Args:
        teachers: The teachers that are run, if any.
        step: The step to record.

    Attributes:
        modules: The modules that were called from outside.
    """

    def __init__(
        self, teachers: list[FrozenTeacher], step: Callable[[], object]
    ) -> None:
        self._calls: list[tuple[Callable, tuple, dict, dict]] = []
        weights = (w for teacher in teachers for w in teacher.parameters())
        self._device = next((w.device.type for w in weights), '')
        self._depth = 0
        self.modules: list[nn.Module] = []
        with ExitStack() as stack:
            for teacher in teachers:
                stack.enter_context(self._listen(teacher))
            step()

    @torch.no_grad()
    def __call__(self) -> None:
        """Run the calls again."""
        for run, args, kwargs, precision in self._calls:
            with torch.autocast(**precision):
                run(*args, **kwargs)

    @contextmanager
    def _listen(self, teacher: FrozenTeacher):
        inner = teacher.extract_feat

        def extract_feat(inputs: Tensor) -> tuple:
            self._enter(inner, (inputs,), {})
            feats = inner(inputs)
            self._depth -= 1
            return feats

        handles = []
        for module in teacher.model.modules():
            handles += [
                module.register_forward_pre_hook(
                    self._enter, with_kwargs=True
                ),
                module.register_forward_hook(self._leave),
            ]
        teacher.extract_feat = extract_feat
        try:
            yield
        finally:
            del teacher.extract_feat
            for handle in handles:
                handle.remove()

    def _enter(self, run: Callable, args: tuple, kwargs: dict) -> None:
        learnt = any(
            isinstance(leaf, Tensor) and leaf.requires_grad
            for leaf in tree_leaves((args, kwargs))
        )
        if not self._depth and not learnt:
            precision = dict(
                device_type=self._device,
                enabled=torch.is_autocast_enabled(self._device),
                dtype=torch.get_autocast_dtype(self._device),
            )
            self._calls.append((run, args, kwargs, precision))
            if isinstance(run, nn.Module) and run not in self.modules:
                self.modules.append(run)
        self._depth += 1

    def _leave(self, *_) -> None:
        self._depth -= 1

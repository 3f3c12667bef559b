"""Steps: the training steps that a benchmark compares."""

import copy
from collections.abc import Callable, Iterator
from functools import partial

import torch
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import DataLoader

from kd_det import random_state
from kd_det.benchmark.mmrazor_pair import mmrazor_pairs
from kd_det.benchmark.parts import Parts
from kd_det.benchmark.rows import DATA, FLOOR, STEP, STUDENT, TEACHER
from kd_det.benchmark.teacher_calls import TeacherCalls
from kd_det.benchmark.timing import Clock
from kd_det.errors import UserError
from kd_det.models import DistillModel, FrozenTeacher
from kd_det.models.distill_model import teacher_specs
from kd_det.models.rewriting import REWRITINGS
from kd_det.progress import track

BATCHES = 3  # that take turns in the rounds
# of the student's losses with a teacher, relative to those without
TOLERANCE = dict(cpu=0.0, cuda=1e-3)


class Steps:
    """The steps that are compared, on some batches of the training set.

    Args:
        model: The pair, in train mode.
        runner: Its runner.
        optim: Config of the optimiser.
        mmrazor: Whether to build the pairs of mmrazor, too.

    Raises:
        UserError: ``mmrazor`` is set and no loss needs a teacher in a step.

    Attributes:
        rows: The steps that train: ``'student alone'``, ``'whole step'`` and
            those of mmrazor.
    """

    def __init__(
        self,
        model: DistillModel,
        runner: Runner,
        optim: dict,
        mmrazor: bool = False,
    ) -> None:
        self.model = model
        self.device = next(model.parameters()).device
        loader = runner.train_dataloader
        self._loading = loading(loader)
        self.batches = [next(self._loading) for _ in range(BATCHES)]
        specs = teacher_specs(runner.cfg.model.teacher)
        self.specs = [dict(specs[name]) for name in model.heard]
        self.teachers = [model.teachers[name] for name in model.heard]
        self._networks = {STUDENT: model.student, STEP: model}
        if mmrazor and not self.specs:
            raise UserError(
                '--mmrazor: no loss of the pair needs its teacher in a step, '
                'and each of mmrazor does; leave --mmrazor away.'
            )
        if mmrazor:
            self._networks |= {
                f'mmrazor {kind}': pair.to(self.device)
                for kind, pair in mmrazor_pairs(model, self.other()).items()
            }
        self._wrappers = {
            row: build_optim_wrapper(network, copy.deepcopy(optim))
            for row, network in self._networks.items()
        }
        self._wrappers[STEP] = runner.optim_wrapper
        for row, wrapper in self._wrappers.items():
            self._networks[row].train()
            still(wrapper)
        self.rows = [*self._networks]
        self._calls: list[TeacherCalls] = []
        self._check_losses(partial(self._record, 0))
        for number in track(range(1, BATCHES), 'Warm-up', in_thread=False):
            self._record(number)
        self.parts = Parts(Clock(self.device.type == 'cuda'))
        _watch(self.parts, model, [*self._wrappers.values()])
        for teacher in self.teachers:
            self.parts.wrap(teacher, 'extract_feat', TEACHER)
        for module in {m for calls in self._calls for m in calls.modules}:
            self.parts.hook(module, TEACHER)

    def other(self, number: int = 0, **switches) -> FrozenTeacher:
        """Return a teacher of the pair again, with other options.

        Args:
            number: Number of the teacher.
            switches: Options instead of its own.
        """
        spec = self.specs[number] | dict.fromkeys(REWRITINGS) | switches
        return FrozenTeacher(spec, self.model.classes)

    def prepared(self, row: str, number: int) -> Callable[[], object]:
        """Return a step that is ready to run.

        Args:
            row: One of ``rows``, or the floor, or ``'data'``.
            number: Number of the round.
        """
        if row == DATA:
            return partial(next, self._loading)
        batch = copy.deepcopy(self.batches[number % BATCHES])
        trained = STUDENT if row == FLOOR else row
        network, wrapper = self._networks[trained], self._wrappers[trained]
        random_state.seed_all(0)
        step = partial(network.train_step, batch, wrapper)
        if row != FLOOR:
            return step
        calls = self._calls[number % BATCHES]

        def both() -> None:
            step()
            with self.parts.within(TEACHER), wrapper.optim_context(network):
                calls()

        return both

    def measure(self, row: str, number: int) -> dict[str, float]:
        """Return the seconds of the parts of a step.

        Args:
            row: See :meth:`prepared`.
            number: Number of the round.
        """
        step = self.prepared(row, number)
        if self.device.type == 'cuda':
            torch.cuda.synchronize()
        return self.parts.measure(step)

    def _record(self, number: int) -> None:
        step = self.prepared(STEP, number)
        self._calls.append(TeacherCalls(self.teachers, step))

    def _check_losses(self, run_pair: Callable[[], None]) -> None:
        """Raise if the student learns something else in the pair."""
        seen: list[dict] = []
        handle = self.model.student.register_forward_hook(
            lambda *call: seen.append(_values(call[-1]))
        )
        self.prepared(STUDENT, 0)()
        run_pair()
        handle.remove()
        accepted = TOLERANCE.get(self.device.type, TOLERANCE['cuda'])
        for key, alone in seen[0].items():
            difference = abs(seen[1][key] - alone)
            if not difference <= accepted * abs(alone):
                raise RuntimeError(
                    f"The student's {key} is {alone} alone and "
                    f'{seen[1][key]} in the pair, so their times cannot be '
                    'compared.'
                )


def loading(loader: DataLoader) -> Iterator[dict]:
    """Iterate over batches without end, loaded in this process.

    Args:
        loader: The loader of the run, of which only the workers are not used.
    """
    while True:
        for indices in loader.batch_sampler:
            yield loader.collate_fn([loader.dataset[i] for i in indices])


def still(wrapper: OptimWrapper) -> None:
    """Set the learning rate to 0.

    Args:
        wrapper: An optimiser.
    """
    for group in wrapper.optimizer.param_groups:
        group['lr'] = 0.0


def _values(losses: dict) -> dict[str, float]:
    return {
        key: float(sum(part.detach().sum() for part in _listed(value)))
        for key, value in losses.items()
        if 'loss' in key
    }


def _listed(value: Tensor | list[Tensor]) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else value


def _watch(
    parts: Parts, model: DistillModel, wrappers: list[OptimWrapper]
) -> None:
    """Count the parts of a pair other than the teacher."""
    parts.hook(model.data_preprocessor, 'preprocessing')
    parts.hook(model.student.data_preprocessor, 'preprocessing')
    parts.hook(model.student, 'student forward')
    for name, distiller in model.distill.items():
        parts.wrap(distiller, 'read', f'{name}: fields')
        parts.wrap(distiller, 'connect', f'{name}: fields')
        for field, connector in distiller.connectors.items():
            parts.hook(connector, f'{name}: connector of {field}')
        for key, loss in distiller.losses.items():
            parts.hook(loss, f'{name}: {key}')
    for wrapper in wrappers:
        parts.wrap(wrapper, 'backward', 'backward')
        parts.wrap(wrapper, 'step', 'optimiser')
        parts.wrap(wrapper, 'zero_grad', 'optimiser')

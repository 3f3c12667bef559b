"""Benchmark of a pair's training step against its floor."""

import copy
import itertools
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from kd_det import __version__
from kd_det.benchmark.memory import added_memory
from kd_det.benchmark.rows import DATA, FLOOR, STEP, STUDENT, TEACHER, Result
from kd_det.benchmark.steps import Steps
from kd_det.benchmark.timing import Times, alternate, threads_of_torch
from kd_det.checks import check_count
from kd_det.config import require_teacher, set_seed
from kd_det.errors import UserError
from kd_det.models import DistillModel
from kd_det.models.unwrap import unwrap
from kd_det.precompute.short_run import Done, short_run
from kd_det.preflight.data import check_data
from kd_det.progress import track

# of the teacher, each with those before it
SWITCHES = dict(fuse_conv_bn=True, channels_last=True, dtype='bfloat16')


def benchmark(
    cfg: Config,
    rounds: int = 11,
    threads: int = 1,
    switches: bool = False,
    mmrazor: bool = False,
) -> Result:
    """Measure the training step of a pair, of its student and of its floor.

    The floor is a step of the student alone plus the teacher's forward pass
    that the losses need: the calls of the teacher in a step of the pair are
    recorded and run again. All runs take turns in one process, on the same
    batches and from the same random state, with a learning rate of 0.

    Args:
        cfg: Config from :func:`kd_det.api.launch.prepare`.
        rounds: Times that each is run.
        threads: Threads of torch on a CPU.
        switches: Whether to measure the teacher with each of its options, too.
        mmrazor: Whether to measure the pair in mmrazor's algorithms, too.

    Raises:
        UserError: An option is out of range, the model is not a pair, there
            are several processes, or mmrazor has no such losses.
        RuntimeError: The student's losses differ in the pair.
    """
    check_count('benchmark', 'rounds', rounds, 1)
    check_count('benchmark', 'threads', threads, 1)
    require_teacher(cfg)
    if get_world_size() > 1:
        raise UserError(
            'benchmark measures one process; start it without torchrun.'
        )
    check_data(cfg, ('train',))
    set_seed(cfg, 0)
    hook = _Measure(cfg, rounds, switches, mmrazor)
    with threads_of_torch(threads):
        short_run(cfg, hook, 1)
    return hook.result


class _Measure(Hook):
    """Measure before the first step, when the run is ready."""

    priority = 'LOWEST'

    def __init__(
        self, cfg: Config, rounds: int, switches: bool, mmrazor: bool
    ) -> None:
        self._cfg, self._rounds = cfg, rounds
        self._switches, self._mmrazor = switches, mmrazor

    def before_train(self, runner: Runner) -> None:
        model = unwrap(runner.model).train()
        if not isinstance(model, DistillModel):
            raise UserError(
                f'benchmark measures a DistillModel, but the model is a '
                f'{type(model).__name__}; use the config of a pair.'
            )
        steps = Steps(model, runner, self._cfg.optim_wrapper, self._mmrazor)
        self.result = _measured(steps, self._rounds, self._switches)
        source = self._cfg.filename or 'config'
        self.result.about['config'] = Path(source).name
        raise Done


def _measured(steps: Steps, rounds: int, switches: bool) -> Result:
    rows = STUDENT, FLOOR, *steps.rows[1:], DATA
    memory = {}
    for row in track(steps.rows, 'Memory', in_thread=False):
        if row not in (STUDENT, STEP):  # these have run before
            steps.prepared(row, 0)()
        memory[row] = added_memory(steps.prepared(row, 0), steps.device)
    runs = {row: partial(steps.measure, row) for row in rows}
    variants = _variants(steps) if switches else {}
    runs |= variants
    found = alternate(runs, rounds, 'Benchmark')
    parts = {row: _by_part(found[row]) for row in (STUDENT, FLOOR, STEP)}
    times = {row: _whole(found[row]) for row in rows}
    order = {STUDENT: times[STUDENT], TEACHER: parts[FLOOR][TEACHER]}
    return Result(
        dict(
            kd_det=__version__,
            torch=torch.__version__,
            device=_device(steps.device),
            clock=steps.parts.clock.name,
            threads=torch.get_num_threads(),
            rounds=rounds,
            images=[_shape(steps.model, batch) for batch in steps.batches],
        ),
        order | times,
        memory,
        {row: parts[row] for row in (STEP, STUDENT)},
        {name: _whole(found[name]) for name in variants},
    )


def _by_part(rounds: list[dict[str, float]]) -> dict[str, Times]:
    names = {part: None for spent in rounds for part in spent}
    return {
        part: Times(tuple(spent.get(part, 0.0) for spent in rounds))
        for part in names
    }


def _whole(rounds: list[dict[str, float]]) -> Times:
    return Times(tuple(sum(spent.values()) for spent in rounds))


def _variants(steps: Steps) -> dict[str, Callable[[int], dict]]:
    """Return the teacher's forward pass with each of its options."""
    found = {}
    for number, (heard, teacher) in enumerate(
        zip(steps.model.heard, steps.teachers)
    ):
        batch = copy.deepcopy(steps.batches[0])
        images = teacher.model.data_preprocessor(batch, True)['inputs']
        for count in range(len(SWITCHES) + 1):
            on = dict(itertools.islice(SWITCHES.items(), count))
            frozen = steps.other(number, **on).to(steps.device)
            run = partial(frozen.extract_feat, images)
            name = f'{heard}: {", ".join(on) or "exact"}'
            found[name] = lambda _, run=run: steps.parts.measure(run)
    return found


def _shape(model: DistillModel, batch: dict) -> list[int]:
    data = model.student.data_preprocessor(copy.deepcopy(batch), True)
    return list(data['inputs'].shape)


def _device(device: torch.device) -> str:
    if device.type == 'cuda':
        return torch.cuda.get_device_name()
    return f'CPU ({platform.machine()})'

"""Self-distillation over several generations."""

import copy
import hashlib
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import get_world_size

from kd_det.api import launch
from kd_det.api.long_steps import Step, Steps
from kd_det.errors import UserError
from kd_det.files import sha256_of
from kd_det.models.spec import BEGINS

LAST = 'last_checkpoint'  # file in which MMEngine stores the path


def self_distill(
    cfg: Config, generations: int, seed: int | None = None
) -> list[dict]:
    """Train generations of students, each taught by the previous one.

    The first is taught by the config's teacher, generation 0. Each generation
    has its own folder in the work directory, ``generation_1`` and so on.
    Finished generations are skipped, an interrupted one is resumed; if
    settings or the teacher have changed, it and all later ones are retrained.

    Args:
        cfg: Config of a pair, from :func:`launch.prepare`.
        generations: Number of generations to train.
        seed: Random seed of each generation.

    Returns:
        A dict for each generation with ``path``, its last checkpoint, and
        ``scores``, the config's test metrics.

    Raises:
        UserError: The config is not a pair or has several teachers,
            ``generations`` is below 1, or there are several processes.
    """
    _check(cfg, generations)
    folder = Path(cfg.work_dir)
    steps = tuple(
        Step(
            f'generation_{number}',
            f'generation {number}, taught by generation {number - 1}',
            1,
        )
        for number in range(1, generations + 1)
    )
    runs = Steps(folder, steps)
    teacher = cfg.model.teacher
    records = []
    for step in steps:
        own = copy.deepcopy(cfg)
        own.model.teacher = teacher
        own.work_dir = str(folder / step.key)
        # runs that start within one second would share a logger
        own.experiment_name = f'{folder.name}_{step.key}'
        records.append(
            runs.do(
                step,
                _identity(own, seed),
                lambda own=own: _run(own, seed),
            )
        )
        teacher = copy.deepcopy(cfg.model.student)
        for key in BEGINS:
            teacher.pop(key, None)
        teacher.ckpt = records[-1]['path']
    print(_table(records))
    return records


def _run(cfg: Config, seed: int | None) -> dict:
    launch.train(copy.deepcopy(cfg), resume='auto', seed=seed)
    path = Path(cfg.work_dir, LAST).read_text().strip()
    tests = copy.deepcopy(cfg)
    tests.experiment_name += '_test'
    tests.work_dir += '/test'  # the config is written there as well
    scores = launch.tester(tests, path).test()
    return dict(path=path, scores={k: float(v) for k, v in scores.items()})


def _identity(cfg: Config, seed: int | None) -> dict:
    settings = repr(sorted(cfg.to_dict().items(), key=lambda item: item[0]))
    return dict(
        settings=hashlib.sha256(settings.encode()).hexdigest(),
        teacher=sha256_of(cfg.model.teacher.ckpt),
        seed=seed,
    )


def _check(cfg: Config, generations: int) -> None:
    if generations < 1:
        raise UserError(f'--generations {generations}; 1 or more is accepted.')
    if 'teacher' not in cfg.model:
        raise UserError(
            'The config has no teacher; use that of a pair whose student '
            'becomes the next teacher, e.g.  '
            "'configs/metric/rkdda_resnet50-512_resnet50-512_cub200.py'."
        )
    ckpt = cfg.model.teacher.get('ckpt')
    if not isinstance(ckpt, str) or not Path(ckpt).is_file():
        raise FileNotFoundError(
            f'There is no teacher checkpoint {ckpt!r} for generation 1; pass '
            '--teacher FILE, or set model.teacher.ckpt in the config.'
        )
    if get_world_size() > 1:
        raise UserError(
            '`kd_det self-distill` runs in a single process; with several '
            'processes run `kd_det train` once per generation, with the last '
            'checkpoint of the previous one as --teacher.'
        )


def _table(records: list[dict]) -> str:
    keys = [*records[0]['scores']]
    lines = ['generation  ' + '  '.join(keys)]
    for number, record in enumerate(records, start=1):
        scores = (f'{record["scores"][k]:{len(k)}.2f}' for k in keys)
        lines.append(f'{number:>10}  ' + '  '.join(scores))
    return '\n'.join(lines)

"""Training in stages: assistants between two networks, self-distillation."""

import copy
import hashlib
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.dist import get_world_size

from kd_det.api import launch
from kd_det.api.long_steps import Step, Steps
from kd_det.checks import check_not_negative
from kd_det.engine.run_record import load_record
from kd_det.errors import UserError, few, nearest
from kd_det.files import sha256_of
from kd_det.models.distill_model import teacher_specs
from kd_det.models.rewriting import REWRITINGS
from kd_det.models.spec import BEGINS

LAST = 'last_checkpoint'  # file in which MMEngine stores the path


def train_stages(
    cfgs: Sequence[Config],
    generations: int = 1,
    seed: int | None = None,
    margin: float | None = None,
    metric: str | None = None,
) -> list[dict]:
    """Train networks one after the other, each taught by the one before.

    The first config is that of a pair, whose teacher has a checkpoint, or of a
    network alone, which is then the first teacher. In each following one, the
    network of the stage before takes the place of the teacher. The last config
    is trained ``generations`` times, each time taught by its own student of
    the generation before.

    Each stage has its own folder in the last config's work directory,
    ``stage_1`` and so on. Finished stages are skipped, an interrupted one is
    resumed; if settings or the first teacher have changed, the stages that
    depend on them are retrained.

    Args:
        cfgs: Configs from :func:`launch.prepare`.
        generations: How often the last config is trained.
        seed: Random seed of each stage.
        margin: Stop after the first generation whose last validation is not
            better than all generations before it by at least this much;
            default: train all.
        metric: The score of the validation that has to improve, larger is
            better; default: the first that is reported.

    Returns:
        A dict for each trained stage with ``path``, its last checkpoint,
        ``scores``, the config's test metrics, and ``validation``, the scores
        of its last validation.

    Raises:
        UserError: A config is not one of a pair, or has several teachers; an
            argument is out of range; or there are several processes.
        FileNotFoundError: The first teacher's checkpoint does not exist.
    """
    _check(cfgs, generations, margin)
    plan = [*cfgs[:-1], *[cfgs[-1]] * generations]
    folder = Path(cfgs[-1].work_dir)
    steps = tuple(
        Step(f'stage_{n}', f'stage {n}: {_name(cfg)}{_taught_by(cfg, n)}', 1)
        for n, cfg in enumerate(plan, start=1)
    )
    runs = Steps(folder, steps)
    records: list[dict] = []
    for number, (step, cfg) in enumerate(zip(steps, plan)):
        own = copy.deepcopy(cfg)
        if records:
            path = records[-1]['path']
            own.model.teacher = _teacher(plan[number - 1], path, own)
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
        if metric is not None:
            _validated(records[-1], metric)  # known from here on
        of_last = records[len(cfgs) - 1 :]
        if margin is not None and not _improves(of_last, margin, metric):
            print(
                f'Stopped: stage {number + 1} is not better than the '
                f'generations before it by {margin:g}.'
            )
            break
    print(_table(records, plan, metric))
    return records


def _run(cfg: Config, seed: int | None) -> dict:
    launch.train(copy.deepcopy(cfg), resume='auto', seed=seed)
    path = Path(cfg.work_dir, LAST).read_text().strip()
    validation = load_record(cfg.work_dir).get('logged', {})
    tests = copy.deepcopy(cfg)
    tests.experiment_name += '_test'
    tests.work_dir += '/test'  # the config is written there as well
    scores = launch.tester(tests, path).test()
    return dict(
        path=path,
        scores={k: float(v) for k, v in scores.items()},
        validation=validation,
    )


def _teacher(before: Config, path: str, cfg: Config) -> ConfigDict:
    """Return the network of the stage before as the teacher of a stage.

    Args:
        before: Config of the stage before.
        path: Its checkpoint.
        cfg: Config of the stage, whose teacher's switches are kept.
    """
    spec = copy.deepcopy(before.model.get('student', before.model))
    for key in BEGINS:
        spec.pop(key, None)
    if 'cfg' not in spec:  # resolved in the scope of the pair otherwise
        spec.setdefault('_scope_', before.get('default_scope', 'mmdet'))
    kept = ('exact', *REWRITINGS)
    own = {k: v for k, v in cfg.model.teacher.items() if k in kept}
    spec.update(own, ckpt=path)
    return spec


def _identity(cfg: Config, seed: int | None) -> dict:
    settings = repr(sorted(cfg.to_dict().items(), key=lambda item: item[0]))
    identity = dict(
        settings=hashlib.sha256(settings.encode()).hexdigest(), seed=seed
    )
    if 'teacher' in cfg.model:
        identity['teacher'] = sha256_of(cfg.model.teacher.ckpt)
    return identity


def _check(
    cfgs: Sequence[Config], generations: int, margin: float | None
) -> None:
    if generations < 1:
        raise UserError(f'--generations {generations}; 1 or more is accepted.')
    if margin is not None:
        check_not_negative('stages', '--margin', margin)
        if not cfgs[-1].get('val_cfg'):
            raise UserError(
                f'--margin compares validations, and {_name(cfgs[-1])} has no '
                'val_cfg; add a validation, or leave --margin away.'
            )
    for number, cfg in enumerate(cfgs, start=1):
        teachers = teacher_specs(cfg.model.get('teacher', {}))
        if len(teachers) > 1:
            raise UserError(
                f'{_name(cfg)} has the teachers {few([*teachers])}; a config '
                'with one teacher is accepted.'
            )
        if 'teacher' not in cfg.model and (number > 1 or len(cfgs) == 1):
            raise UserError(
                f'{_name(cfg)} has no teacher; use the config of a pair. Only '
                'the first of several configs may be of a network alone.'
            )
    first = cfgs[0].model.get('teacher')
    if first is not None:
        ckpt = first.get('ckpt')
        if not isinstance(ckpt, str) or not Path(ckpt).is_file():
            raise FileNotFoundError(
                f'There is no teacher checkpoint {ckpt!r} for stage 1; pass '
                '--teacher FILE, or set model.teacher.ckpt in the config.'
            )
    if get_world_size() > 1:
        raise UserError(
            '`kd_det self-distill` runs in a single process; with several '
            'processes run `kd_det train` once per stage, with the last '
            'checkpoint of the previous one as --teacher.'
        )


def _name(cfg: Config) -> str:
    return Path(cfg.filename or 'run').stem


def _taught_by(cfg: Config, number: int) -> str:
    if number > 1:
        return f', taught by stage {number - 1}'
    return ', taught by its teacher' if 'teacher' in cfg.model else ', alone'


def _improves(records: list[dict], margin: float, metric: str | None) -> bool:
    """Return whether the last generation is better than all before it.

    Args:
        records: Of all generations so far.
        margin: By at least this much.
        metric: Name of the score, or None for the first.
    """
    scores = [_validated(record, metric) for record in records]
    return len(scores) < 2 or scores[-1] >= max(scores[:-1]) + margin


def _validated(record: dict, metric: str | None) -> float:
    validation = record['validation']
    if metric is None and validation:
        return next(iter(validation.values()))
    if metric not in validation:
        raise UserError(
            f'--metric {metric}: the validation gives '
            f'{few([*validation]) or "no score"}'
            f'{nearest(str(metric), validation) or "."}'
        )
    return validation[metric]


def _table(records: list[dict], plan: list[Config], metric: str | None) -> str:
    """Return a line for each stage with its validation and test scores."""
    tests = [*dict.fromkeys(k for r in records for k in r['scores'])]
    rows = [['stage', 'config', 'validation', *tests]]
    for number, (record, cfg) in enumerate(zip(records, plan), start=1):
        validated = record['validation']
        shown = f'{_validated(record, metric):.4g}' if validated else '–'
        scores = [
            f'{record["scores"][key]:.4g}' if key in record['scores'] else '–'
            for key in tests
        ]
        rows.append([str(number), _name(cfg), shown, *scores])
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [
        '  '.join(cell.ljust(width) for cell, width in zip(row, widths))
        for row in rows
    ]
    return '\n'.join(map(str.rstrip, lines))

"""In what the settings of runs differ, network for network."""

import re
from collections import Counter
from collections.abc import Sequence

from mmengine.config import Config
from mmengine.registry import init_default_scope

from kd_det.analysis.report_runs import ReportedRun
from kd_det.config import specs_that_train
from kd_det.errors import UserError
from kd_det.models.distill_model import teacher_specs
from kd_det.models.spec import BEGINS, read_spec

# of a config, what a training reads
KEYS = (
    'train_dataloader',
    'val_dataloader',
    'train_cfg',
    'val_cfg',
    'val_evaluator',
    'optim_wrapper',
    'param_scheduler',
    'auto_scale_lr',
    'default_hooks',
    'custom_hooks',
    'load_from',
    'env_cfg',
    'model_wrapper_cfg',
    'find_unused_parameters',
)
# of a record, what is no result
FACTS = ('seed', 'commit', 'versions', 'machine', 'data', 'initial_weights')
# a SHA-256 or a commit, of which the beginning says enough
DIGEST = re.compile(r'^([0-9a-f]{12})[0-9a-f]{28,52}')


def differences(runs: Sequence[ReportedRun]) -> list[dict]:
    """Return the settings that are not equal in all runs.

    The network that learns is laid out in full, whether the config has it
    alone or names it as a student.

    Args:
        runs: Two or more. Those without a config or a record have no value
            of what stands there.

    Returns:
        One entry a setting: its ``name``, and ``values``, letter of the run
        -> how it is written in a config, None where it is not set.
    """
    # the longest first, so that the order of the names is a config's
    tables = {run.letter: _settings(run) for run in runs}
    names = dict.fromkeys(
        name
        for table in sorted(tables.values(), key=len, reverse=True)
        for name in table
    )
    known = {run.letter: _known(run) for run in runs}
    found = []
    for name in names:
        part = name.partition('.')[0].partition('[')[0]
        values = {
            letter: repr(table[name]) if name in table else None
            for letter, table in tables.items()
            if known[letter]['record' if part in FACTS else 'config']
        }
        if len({*values.values()}) > 1:
            found.append(dict(name=name, values=values))
    return found


def _known(run: ReportedRun) -> dict[str, bool]:
    return dict(record=bool(run.record), config=run.cfg is not None)


def _settings(run: ReportedRun) -> dict[str, object]:
    """Return dotted name -> value of all that a run was told."""
    table = {}
    for key in FACTS:
        if key in run.record:
            table |= _flat(run.record[key], key)
    if run.cfg is not None:
        for name, part in _networks(run.cfg).items():
            table |= _flat(part, name)
        for key in KEYS:
            if key in run.cfg:
                table |= _flat(run.cfg[key], key)
    return table


def _networks(cfg: Config) -> dict[str, dict]:
    """Return the parts of a model: the network that learns as ``model``."""
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    model = cfg.model
    learners = specs_that_train(model)
    if not learners:
        own = cfg.get('data_preprocessor')
        return dict(model=dict(model, data_preprocessor=own) if own else model)
    if 'student' not in model:
        return dict(model=model)
    student = model.student
    begins = {key: student[key] for key in BEGINS if key in student}
    try:
        network = read_spec(student, 'student')[0]
    except UserError:  # its config is not on this machine
        network = {k: v for k, v in student.items() if k not in BEGINS}
    parts = dict(model=network, student=begins)
    if 'teacher' in model:
        specs = teacher_specs(model.teacher)
        parts['teacher'] = specs if len(specs) > 1 else model.teacher
    return parts | dict(distillers=model.get('distillers') or {})


def _flat(value: object, name: str) -> dict[str, object]:
    """Return dotted name -> value; the items of a list go by their type."""
    found = {}
    if isinstance(value, dict):
        for key, child in value.items():
            if key not in ('_scope_', '_delete_'):
                found |= _flat(child, f'{name}.{key}')
        return found
    if isinstance(value, (list, tuple)):
        if not any(isinstance(item, dict) for item in value):
            return {name: [*value]}
        seen = Counter()
        for item in value:
            kind = str(item.get('type')) if isinstance(item, dict) else '…'
            seen[kind] += 1
            again = f' {seen[kind]}' if seen[kind] > 1 else ''
            found |= _flat(item, f'{name}[{kind}{again}]')
        return found
    if isinstance(value, str):
        value = DIGEST.sub(r'\1', value)
    return {name: value}

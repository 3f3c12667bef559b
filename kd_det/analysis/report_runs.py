"""The runs that a report is about, as far as their folders tell."""

import json
import math
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from kd_det.analysis.names import without_common
from kd_det.analysis.run_log import RunLog, read_log
from kd_det.config import load_config
from kd_det.engine.hooks.step_time_hook import RECORD
from kd_det.engine.run_record import FILE, load_record
from kd_det.errors import UserError, counted
from kd_det.evaluation.predictions import FILE as PREDICTIONS
from kd_det.evaluation.predictions import Predictions, load_predictions

FEATURES = 'features.json'
UNREADABLE = (OSError, ValueError, KeyError, TypeError, IndexError)
MOST_RUNS = 8  # that colours can tell apart


@dataclass(frozen=True, eq=False)
class ReportedRun:
    """A work dir, of which much may be missing.

    Attributes:
        letter: By which the report calls it.
        name: What its folder has that those of the others do not.
        folder: The work dir.
        record: Of ``run.json``; empty without one.
        log: What was logged.
        cfg: Its config, None if it cannot be read.
        predictions: Of its last validation, if there was one.
        features: What ``kd_det analyze`` has written there, if it has.
        lacking: What is missing -> why.
    """

    letter: str
    name: str
    folder: Path
    record: dict
    log: RunLog
    cfg: Config | None
    predictions: Predictions | None
    features: dict | None
    lacking: dict[str, str]

    @property
    def distillers(self) -> dict:
        """The configs of its distillers; empty without a teacher."""
        model = {} if self.cfg is None else self.cfg.model
        found = model.get('distillers')
        return found if isinstance(found, dict) else {}


def read_runs(folders: Sequence[str]) -> list[ReportedRun]:
    """Read the work dirs of some runs.

    Args:
        folders: One to eight.

    Raises:
        FileNotFoundError: A folder has neither a record nor a log.
        UserError: A folder comes twice, or a file in it is damaged.
    """
    given = [Path(folder) for folder in folders]
    # its run.json names a work dir, too
    given = [path.parent if path.name == FILE else path for path in given]
    paths = [path.absolute() for path in given]
    for index, path in enumerate(paths):
        if path.resolve() in {p.resolve() for p in paths[:index]}:
            raise UserError(
                f'The run {folders[index]!r} is named twice; name each once.'
            )
    if len(paths) > MOST_RUNS:
        raise UserError(
            f'report got {counted(len(paths), "RUN")}; 1 to {MOST_RUNS} are '
            'accepted.'
        )
    names = [path.name for path in paths]
    if len(paths) > 1:
        parts = [[*path.parts] for path in paths]
        parts = without_common(without_common(parts, 0), -1)
        names = ['/'.join(own) for own in parts]
    return [
        _read(letter, name, path)
        for letter, name, path in zip(string.ascii_uppercase, names, given)
    ]


def _read(letter: str, name: str, folder: Path) -> ReportedRun:
    lacking = {}
    log, record, predictions = read_log(folder), {}, None
    try:
        record = load_record(folder)
        _check_record(record, folder)
    except FileNotFoundError:
        if not log.train:
            raise
        lacking['record'] = f'there is no {FILE}'
    if (folder / PREDICTIONS).is_file():
        predictions = load_predictions(folder / PREDICTIONS)
    else:
        lacking['predictions'] = f'there is no {PREDICTIONS}'
    cfg = None
    try:
        cfg = load_config(str(_config_of(folder, record)))
    except (UserError, FileNotFoundError, ImportError) as error:
        lacking['config'] = str(error)
    return ReportedRun(
        letter,
        name,
        folder,
        record,
        log,
        cfg,
        predictions,
        _features_of(folder),
        lacking,
    )


def _check_record(record: dict, folder: Path) -> None:
    for key in ('data', RECORD):
        own = record.get(key, {})
        if not isinstance(own, dict) or (
            key == RECORD and not all(map(is_finite, own.values()))
        ):
            raise UserError(
                f'{str(folder / FILE)!r} has {key}={own!r}, which no training '
                'writes; take that entry out, or train again.'
            )


def is_finite(value: object) -> bool:
    """Return whether something read from JSON is a finite number."""
    return type(value) in (int, float) and math.isfinite(value)


def _features_of(folder: Path) -> dict | None:
    """Return the CKA that ``kd_det analyze`` found: levels and names."""
    try:
        content = json.loads((folder / FEATURES).read_text())
        names = [str(name) for name in content['representations']]
        tables = [level['cka']['linear'] for level in content['levels']]
        # of each representation with the teacher's, which stands first
        levels = [[float(value) for value in table[0]] for table in tables]
        if not all(math.isfinite(v) for level in levels for v in level):
            raise ValueError('a CKA that is not finite')
        if any(len(level) != len(names) for level in levels):
            raise ValueError('not as many CKA as representations')
    except FileNotFoundError:
        return None
    except (*UNREADABLE, RecursionError) as error:
        raise UserError(
            f'{str(folder / FEATURES)!r} cannot be read as a result of '
            f'`kd_det analyze` ({error!r}); run that again, or remove it.'
        ) from None
    return dict(representations=names, cka_with_teacher=levels)


def _config_of(folder: Path, record: dict) -> Path:
    """Return the config that a run has written: with what it was given."""
    own = folder / f'{record.get("config")}.py'
    if own.is_file():
        return own
    # one that ends early is known by the copy beside its log
    copies = sorted(folder.glob('*/vis_data/config.py'))
    return copies[-1] if copies else own

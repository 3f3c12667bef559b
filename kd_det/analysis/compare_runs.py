"""Compare two runs, or two groups of runs with the same seeds."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import t as student_t

from kd_det.analysis.bootstrap import (
    CONFIDENCE,
    RESAMPLES,
    check_resamples,
    interval,
    resampled_scores,
    score_names,
)
from kd_det.engine.run_record import load_record
from kd_det.errors import UserError
from kd_det.evaluation.predictions import FILE as PREDICTIONS
from kd_det.evaluation.predictions import (
    BoxPredictions,
    Predictions,
    load_predictions,
)
from kd_det.files import atomic_write, check_output


@dataclass(frozen=True)
class Run:
    """A work directory with its record and predictions."""

    folder: str
    record: dict
    predictions: Predictions

    @property
    def seed(self) -> int:
        """The random seed."""
        return self.record['seed']


def compare_runs(
    first: Sequence[str],
    second: Sequence[str],
    resamples: int = RESAMPLES,
    out: str | None = None,
) -> str:
    """Return a table of the score differences between two groups of runs.

    The intervals are percentiles of a paired bootstrap: images are drawn with
    replacement, and the scores of all runs are computed on the same sample.
    They account for the choice of images. With several seeds, a t interval of
    the changes per seed is added, which accounts for the choice of seeds.

    Args:
        first: Work directories of the first group, one per seed.
        second: Work directories of the second group, with the same seeds.
        resamples: Number of bootstrap samples, 1 to 100,000.
        out: JSON file for the numbers of the table, in [0, 1].

    Raises:
        FileNotFoundError: A folder has no ``run.json`` or no predictions.
        UserError: The validation images or the seeds differ, a file is
            damaged, ``resamples`` is out of range, or ``out`` cannot be
            written.
    """
    if out:
        check_output(out)
    check_resamples(resamples)
    sides = [
        _in_order_of_seeds([_load(f) for f in fs]) for fs in (first, second)
    ]
    _check_seeds(*sides)
    _check_truth([run for side in sides for run in side])
    found = _scores(sides, resamples)
    if out:
        with atomic_write(out) as file:
            file.write(f'{json.dumps(found, indent=2)}\n'.encode())
    return _table(found)


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the half-width of its 95 % t interval.

    Args:
        values: At least two values, such as the scores of several seeds.
    """
    values = np.asarray(values, float)
    n = len(values)
    quantile = student_t.ppf((1 + CONFIDENCE) / 2, n - 1)
    return values.mean(), quantile * values.std(ddof=1) / np.sqrt(n)


def _load(folder: str) -> Run:
    record = load_record(folder)
    path = Path(folder) / PREDICTIONS
    if not path.is_file():
        raise FileNotFoundError(
            f'There is no {str(path)!r}: the run had no validation, or not '
            'one with boxes and a COCO metric or one class per image, which '
            'can be compared.'
        )
    return Run(str(folder), record, load_predictions(path))


def _in_order_of_seeds(runs: list[Run]) -> list[Run]:
    runs = sorted(runs, key=lambda run: run.seed)
    for one, other in zip(runs, runs[1:]):
        if one.seed == other.seed:
            raise UserError(
                f'{one.folder!r} and {other.folder!r} are in the same group '
                f'and both have seed {one.seed}; use one run per seed.'
            )
    return runs


def _check_seeds(first: list[Run], second: list[Run]) -> None:
    seeds = [[run.seed for run in side] for side in (first, second)]
    if len(first) == len(second) == 1 or seeds[0] == seeds[1]:
        return
    one, other = (', '.join(map(str, side)) for side in seeds)
    raise UserError(
        f'The runs before --with have the seeds {one}, those after it '
        f'{other}; use the same seeds in both groups.'
    )


def _check_truth(runs: list[Run]) -> None:
    one = runs[0]
    for other in runs[1:]:
        if not one.predictions.same_truth(other.predictions):
            kinds = [_kind(run.predictions) for run in (one, other)]
            raise UserError(
                f'{one.folder!r} was validated on {kinds[0]} and '
                f'{other.folder!r} on {kinds[1]}, which differ in images, '
                'classes or annotations; use runs with the same validation '
                'set.'
            )


def _kind(predictions: Predictions) -> str:
    classes = len(predictions.classes)
    boxes = isinstance(predictions, BoxPredictions)
    what = f', {len(predictions.true_boxes)} boxes' if boxes else ''
    return f'{predictions.num_images} images ({classes} classes{what})'


def _scores(sides: list[list[Run]], resamples: int) -> dict:
    predictions = [run.predictions for side in sides for run in side]
    scores = resampled_scores(predictions, resamples)
    half = len(sides[0])
    once = next(scores)  # run, score
    changes = np.array([_change(drawn, half) for drawn in scores])
    first, second = once[:half].mean(axis=0), once[half:].mean(axis=0)
    rows = [
        dict(
            name=name,
            first=_or_none(first[index]),
            second=_or_none(second[index]),
            change=_or_none(second[index] - first[index]),
            interval=interval(changes[:, index]),
        )
        for index, name in enumerate(score_names(predictions[0]))
    ]
    by_seed = once[half:, 0] - once[:half, 0]
    found = dict(
        images=predictions[0].num_images,
        resamples=resamples,
        first=[_describe(run) for run in sides[0]],
        second=[_describe(run) for run in sides[1]],
        scores=rows,
        change_by_seed=by_seed.tolist(),
    )
    if len(by_seed) > 1:
        mean, half = t_interval(by_seed)
        found['interval_over_seeds'] = [mean - half, mean + half]
    return found


def _describe(run: Run) -> dict:
    keys = ('config', 'options', 'seed', 'epochs', 'commit', 'data')
    own = {key: run.record.get(key) for key in keys}
    return dict(folder=run.folder, **own)


def _change(scores: np.ndarray, half: int) -> np.ndarray:
    return scores[half:].mean(axis=0) - scores[:half].mean(axis=0)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _table(found: dict) -> str:
    lines = []
    for letter, side in zip('AB', (found['first'], found['second'])):
        folders = ', '.join(run['folder'] for run in side)
        lines.append(f'{letter}  {side[0]["config"]}: {folders}')
    runs = found['first'] + found['second']
    if any(run['epochs'] != runs[0]['epochs'] for run in runs):
        epochs = ', '.join(str(run['epochs']) for run in runs)
        lines.append(f'Trained for different numbers of epochs: {epochs}.')
    if any(run['data'] != runs[0]['data'] for run in runs):
        lines.append('Trained on different data, see run.json.')
    width = max(len(row['name']) for row in found['scores'])
    lines += [
        '',
        f'{found["images"]} validation images; in percent; intervals of 95 % '
        f'from {found["resamples"]} bootstrap samples',
        '',
        f'{"":{width}}       A       B   change   interval',
    ]
    for row in found['scores']:
        if row['change'] is None:
            lines.append(f'{row["name"]:{width}}  no ground truth')
            continue
        interval = 'in no sample'
        if row['interval'] is not None:
            interval = ' to '.join(map(_signed, row['interval']))
        lines.append(
            f'{row["name"]:{width}}  {_percent(row["first"]):>6}  '
            f'{_percent(row["second"]):>6}  {_signed(row["change"]):>7}'
            f'   {interval}'
        )
    if 'interval_over_seeds' in found:
        changes = zip(found['first'], found['change_by_seed'])
        by_seed = ', '.join(
            f'{_signed(change)} (seed {run["seed"]})'
            for run, change in changes
        )
        low, high = found['interval_over_seeds']
        lines += [
            '',
            f'Change by seed: {by_seed}',
            f't interval over the seeds: {_signed(low)} to {_signed(high)}',
        ]
    return '\n'.join(lines)


def _percent(value: float) -> str:
    return f'{100 * value:.2f}'


def _signed(value: float) -> str:
    return f'{100 * value:+.2f}'

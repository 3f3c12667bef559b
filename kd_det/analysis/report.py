"""A report about runs: a self-contained HTML page and its numbers."""

import json
from collections.abc import Sequence
from pathlib import Path

import kd_det
from kd_det.analysis.bootstrap import RESAMPLES, check_resamples
from kd_det.analysis.report_config import differences
from kd_det.analysis.report_curves import Curves, read_curves
from kd_det.analysis.report_images import Picture, pictures
from kd_det.analysis.report_missing import missing
from kd_det.analysis.report_page import page
from kd_det.analysis.report_runs import (
    ReportedRun,
    is_finite,
    read_runs,
)
from kd_det.analysis.report_scores import (
    class_scores,
    comparable,
    disagreement,
)
from kd_det.engine.hooks.step_time_hook import RECORD
from kd_det.errors import UserError
from kd_det.files import atomic_write, check_output

OUT = 'report.html'
FACTS = ('config', 'seed', 'epochs', 'iterations', 'minutes')


def report(
    folders: Sequence[str], out: str = OUT, resamples: int = RESAMPLES
) -> Path:
    """Write a page about runs, and its numbers as JSON next to it.

    The other runs are compared with the first. What a run did not record is
    listed, with what would record it.

    Args:
        folders: Work dirs, one to eight.
        out: The page, ``….html``; the JSON has its name.
        resamples: Draws of the bootstrap over images, 1 to 100,000.

    Returns:
        The page.

    Raises:
        FileNotFoundError: A folder has neither a record nor a log.
        UserError: A folder comes twice or a file in it is damaged; another
            number of draws; or ``out`` cannot be written.
    """
    if Path(out).suffix != '.html':
        raise UserError(
            f'--out {str(out)!r}; a name that ends in .html is accepted.'
        )
    numbers = Path(out).with_suffix('.json')
    check_output(out)
    check_output(numbers)
    check_resamples(resamples)
    runs = read_runs(folders)
    found, images = collect(runs, resamples)
    dumped = json.dumps(found, indent=1, allow_nan=False)
    for path, text in ((out, page(found, images)), (numbers, f'{dumped}\n')):
        with atomic_write(path) as file:
            file.write(text.encode())
    return Path(out)


def collect(
    runs: list[ReportedRun], resamples: int
) -> tuple[dict, list[Picture]]:
    """Return the numbers of a report, and the images that it shows.

    Args:
        runs: From :func:`read_runs`.
        resamples: Draws of the bootstrap over images.
    """
    curves = read_curves(runs)
    gaps, images = missing(runs, curves), []
    found = dict(
        kd_det=kd_det.__version__,
        runs=[_describe(run) for run in runs],
        notes=_notes(runs),
        curves=vars(curves),
        axes=_axes(runs, curves),
        cka={run.letter: run.features for run in runs if run.features},
        step_seconds={
            run.letter: run.record[RECORD]
            for run in runs
            if RECORD in run.record
        },
    )
    alike = comparable(runs)
    several = len(alike) > 1
    found |= dict(
        scores=class_scores(alike, resamples) if alike else None,
        disagreement=disagreement(alike) if several else None,
        differences=differences(runs) if len(runs) > 1 else None,
    )
    if several:
        places = [i['place'] for i in found['disagreement']['images']]
        try:
            images = _pictures(alike, places)
        except UserError as error:
            gaps.append(_gap('images', str(error), 'the data', alike))
    others = [r for r in runs if r.predictions is not None and r not in alike]
    if others:
        why = f'validated on other images or classes than {alike[0].letter}'
        what = 'comparison of scores and images'
        gaps.append(_gap(what, why, 'the same validation set', others))
    return dict(found, missing=gaps), images


def _axes(runs: list[ReportedRun], curves: Curves) -> dict[str, str]:
    """Return what the points of each kind of curve count."""
    validated = 'epoch' if any(run.log.by_epoch for run in runs) else 'step'
    return {
        kind: validated if 'scores' in kind else 'step'
        for kind in vars(curves)
    }


def _pictures(runs: list[ReportedRun], places: list[int]) -> list[Picture]:
    for run in runs:
        if run.cfg is not None and run.cfg.get('val_dataloader'):
            return pictures(run.cfg, run.predictions, places)
    raise UserError('no run has a config that names its validation set')


def _gap(what: str, why: str, fix: str, runs: list[ReportedRun]) -> dict:
    letters = [run.letter for run in runs]
    return dict(what=what, why=why, fix=fix, runs=letters)


def _describe(run: ReportedRun) -> dict:
    facts = {key: run.record.get(key) for key in FACTS}
    facts = {
        key: value if isinstance(value, str) or is_finite(value) else None
        for key, value in facts.items()
    }
    return dict(
        letter=run.letter,
        name=run.name,
        folder=str(run.folder),
        teacher=bool(run.cfg is not None and 'teacher' in run.cfg.model),
        **facts,
    )


def _notes(runs: list[ReportedRun]) -> list[str]:
    """Return what makes a comparison unfair or unsure."""
    notes = []
    records = [run.record for run in runs if run.record]
    epochs = [record.get('epochs') for record in records]
    if len({*map(str, epochs)}) > 1:
        listed = ', '.join(map(str, epochs))
        notes.append(f'Not equally long trained: {listed} epochs.')
    data = [(r.get('data') or {}).get('train') for r in records]
    if any(own != data[0] for own in data):
        notes.append('Not trained on the same data, see the settings.')
    seeds = [str(record.get('seed')) for record in records]
    if len({*seeds}) > 1:
        notes.append(f'Not of the same seed: {", ".join(seeds)}.')
    return notes

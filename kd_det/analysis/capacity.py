"""Norms and scores of networks against their sizes and their teachers'."""

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from matplotlib.ticker import EngFormatter

from kd_det.analysis.panels import SLANTED, grid, save
from kd_det.engine.run_record import load_record
from kd_det.errors import UserError

TEACHER = 'teacher'
Point = tuple[str, float, float | None]  # method, x, y


def run_facts(checkpoint: str | Path) -> dict:
    """Return method and score of the run that a checkpoint lies beside.

    Args:
        checkpoint: Perhaps in a work directory with a ``run.json``.

    Returns:
        ``method``, the first word of its config's name, and ``score``, its
        accuracy or mAP in percent; None if unknown.
    """
    try:
        record = load_record(Path(checkpoint).expanduser().parent)
    except FileNotFoundError:
        return dict(method=None, score=None)
    metrics = record.get('metrics', {})
    score = metrics.get('accuracy', metrics.get('mAP'))
    return dict(
        method=str(record['config']).partition('_')[0],
        score=None if score is None else 100 * score,
    )


def lines(points: Iterable[Point]) -> dict[str, list[tuple[float, float]]]:
    """Return the mean y at each x, by method; points without y are left out.

    Args:
        points: Method, x and y of each network.
    """
    found: dict = defaultdict(lambda: defaultdict(list))
    for method, x, y in points:
        if y is not None:
            found[method][x].append(y)
    return {
        method: [(x, float(np.mean(own[x]))) for x in sorted(own)]
        for method, own in found.items()
    }


def capacity_lines(analyses: list[dict]) -> dict[str, dict]:
    """Return what is drawn, by panel, without the empty ones.

    Args:
        analyses: ``networks`` of each analysis, its teacher first: title ->
            ``parameters``, ``norm``, ``method`` and ``score``.
    """
    own, of_students = [], []
    for networks in analyses:
        size = networks[TEACHER]['parameters']
        for title, entry in networks.items():
            teaches = title == TEACHER
            who = title if teaches else entry['method'] or title
            own.append((who, entry))
            if not teaches:
                of_students.append((who, size, entry['score']))
    panels = {
        ('parameters', 'mean norm'): [
            (who, entry['parameters'], entry['norm']) for who, entry in own
        ],
        ('parameters', 'score [%]'): [
            (who, entry['parameters'], entry['score']) for who, entry in own
        ],
        ("teacher's parameters", "student's score [%]"): of_students,
    }
    drawn = {axes: lines(points) for axes, points in panels.items()}
    return {axes: found for axes, found in drawn.items() if found}


def load_networks(file: str) -> dict:
    """Return the ``networks`` of another ``features.json``.

    Args:
        file: Path of the file.

    Raises:
        FileNotFoundError: It does not exist.
        UserError: It has none.
    """
    try:
        networks = json.loads(Path(file).read_text())['networks']
        capacity_lines([networks])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f'{file!r} has no networks of `kd_det analyze` ({error!r}); run '
            'that again, or leave the file out of --with.'
        ) from None
    return networks


def draw_capacity(path: str | Path, analyses: list[dict]) -> None:
    """Write a PNG of up to three panels: norm, score, student's score.

    Args:
        path: PNG file to write.
        analyses: See :func:`capacity_lines`.
    """
    panels = capacity_lines(analyses)
    figure, axes = grid(len(panels), 3, (4.0, 3.4))
    # colours by the first panel, which has all networks
    places = {who: place for place, who in enumerate([*panels.values()][0])}
    for axis, ((x_label, y_label), found) in zip(axes, panels.items()):
        for who, points in found.items():
            color = 'black' if who == TEACHER else f'C{places[who] % 10}'
            marker = 's' if who == TEACHER else 'o'
            axis.plot(
                *zip(*points), marker=marker, color=color, label=who, ms=5
            )
        axis.set_xscale('log')
        sizes = sorted({x for points in found.values() for x, _ in points})
        axis.set_xticks(sizes, [*map(_short, sizes)], **SLANTED)
        axis.minorticks_off()
        axis.set_xlabel(x_label)
        axis.set_ylabel(y_label)
    save(figure, path, legend_of=axes[0])


def _short(number: float) -> str:
    return EngFormatter(sep='')(float(f'{number:.3g}'))

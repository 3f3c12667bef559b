"""The page of a report, from its numbers."""

from collections.abc import Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

from kd_det.analysis.report_charts import (
    COLORS,
    LINES,
    PARTS,
    line_chart,
    time_chart,
)
from kd_det.analysis.report_curves import ByRun
from kd_det.analysis.report_images import Picture

TEMPLATE = 'report.html'
LONGEST = 90  # letters of a value in the table of settings


def page(found: dict, images: Sequence[Picture]) -> str:
    """Return the page as HTML, with all that it shows inside.

    Args:
        found: The numbers, as :func:`kd_det.analysis.report.report` writes
            them.
        images: Those of ``found['disagreement']``, in their order; empty if
            they cannot be read.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # names of classes, folders and losses are text
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= dict(
        percent=_percent,
        signed=_signed,
        short=_short,
        number=_number,
        ms=_ms,
    )
    letters = [run['letter'] for run in found['runs']]
    charts = {kind: _charts(found, kind, letters) for kind in found['curves']}
    return environment.get_template(TEMPLATE).render(
        found,
        charts=charts,
        shown=_shown(found, charts),
        time_chart=_time_chart(found['step_seconds']),
        parts=PARTS,
        colors=dict(zip(letters, COLORS)),
        dashes={
            letter: ' '.join(str(2.5 * part) for part in line)
            for letter, line in zip(letters, LINES)
        },
        reference=next(iter(_first(found)), None),
        images=images,
        reach=_reach(found.get('scores')),
    )


def _shown(found: dict, charts: dict[str, list]) -> list[str]:
    """Return the parts of the page that there are."""
    there = dict(
        scores=found['scores'],
        curves=charts['scores'] or charts['losses'],
        gradients=charts['gradients'],
        embeddings=charts['trends'],
        time=found['step_seconds'],
        images=found['disagreement'],
        settings=found['differences'] is not None,
        missing=found['missing'],
    )
    return [name for name, part in there.items() if part]


def _charts(
    found: dict, kind: str, letters: list[str]
) -> list[tuple[str, Markup]]:
    """Return the title and the SVG of each chart of a kind."""
    curves: ByRun = found['curves'][kind]
    return [
        (
            name,
            Markup(
                line_chart(
                    {letters.index(run): p for run, p in by_run.items()},
                    found['axes'][kind],
                )
            ),
        )
        for name, by_run in curves.items()
    ]


def _time_chart(seconds: dict[str, dict]) -> Markup | None:
    return Markup(time_chart(seconds)) if seconds else None


def _first(found: dict) -> dict:
    """Return the scores over all by run; the first is compared with."""
    scores = found.get('scores')
    return scores['rows'][0]['runs'] if scores else {}


def _reach(scores: dict | None) -> float:
    """Return how far the bars of the changes reach to both sides."""
    ends = [
        abs(end)
        for row in (scores or {}).get('rows', ())
        for own in row['runs'].values()
        for end in own.get('change_interval') or ()
    ]
    return max(ends, default=0.0) or 1.0


def _percent(value: float | None) -> str:
    return '–' if value is None else f'{100 * value:.1f}'


def _signed(value: float | None) -> str:
    if value is None:
        return '–'
    return f'{100 * value:+.1f}'.replace('-', '−')


def _ms(seconds: float) -> str:
    value = 1000 * seconds
    return f'{value:.1f}' if value < 100 else f'{value:.0f}'


def _number(value: object) -> str:
    if isinstance(value, float):
        return f'{value:.3g}'
    return '–' if value is None else str(value)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f'{text[:LONGEST]}…'

"""Charts of a report, drawn by matplotlib as SVG to stand inside a page."""

import io
import re

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kd_det.analysis.run_log import Points

# told apart by most colour-blind people (Okabe and Ito), and by the line
COLORS = (
    '#0072b2',
    '#d55e00',
    '#009e73',
    '#cc79a7',
    '#000000',
    '#56b4e9',
    '#e69f00',
    '#8c564b',
)
# dashes and gaps in widths of the line
LINES = (
    (),
    (4, 2),
    (6, 2, 1, 2),
    (1, 1.5),
    (8, 2),
    (2, 2),
    (4, 1, 1, 1, 1, 1),
    (10, 3, 3, 3),
)
PARTS = dict(
    preprocessing='#bbbbbb',
    student='#0072b2',
    teacher='#d55e00',
    losses='#009e73',
    backward='#e69f00',
)
FEW = 12  # points that are marked
SIZE = (4.2, 2.5)  # inches, of which a phone shows 72 pixels each
# Inches around the axes, alike in all charts; to measure the labels would
# take as long as to draw them.
LEFT, RIGHT, BOTTOM, TOP = 0.65, 0.15, 0.5, 0.2
STYLE = {
    'svg.fonttype': 'none',  # text stays text, in the font of the page
    'svg.hashsalt': 'kd_det',  # the same bytes for the same numbers
    'font.family': 'sans-serif',
    'font.size': 9.5,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.grid': True,
    'grid.color': '#e6e6e6',
    'axes.formatter.limits': (-3, 4),
}


def line_chart(curves: dict[int, Points], x_label: str) -> str:
    """Return curves over steps or epochs as SVG.

    Values that are all above zero and span more than a factor of 100 are
    drawn on a logarithmic scale.

    Args:
        curves: Number of the run, for its colour and line -> its points.
        x_label: What the points count.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(SIZE)
        axis = figure.subplots()
        for run, points in curves.items():
            x, y = zip(*points)
            axis.plot(
                x,
                y,
                color=COLORS[run],
                linestyle=(0, LINES[run]) if LINES[run] else '-',
                marker='o' if len(x) <= FEW else None,
                markersize=4,
                lw=1.6,
            )
        values = [y for points in curves.values() for _, y in points]
        if min(values) > 0 and max(values) > 100 * min(values):
            axis.set_yscale('log')
            axis.yaxis.set_major_formatter('{x:g}')
            axis.yaxis.set_minor_formatter('')
        axis.set_xlabel(x_label)
        axis.xaxis.set_major_locator(
            MaxNLocator(5, integer=True, min_n_ticks=1)
        )
        return _svg(figure)


def time_chart(seconds: dict[str, dict[str, float]]) -> str:
    """Return bars of the parts of a step as SVG.

    Args:
        seconds: Letter of the run -> part -> seconds.
    """
    with matplotlib.rc_context(STYLE | {'axes.grid': False}):
        figure = Figure((SIZE[0], 0.9 + 0.42 * len(seconds)))
        axis = figure.subplots()
        letters = [*seconds]
        for place, parts in enumerate(seconds.values()):
            left = 0.0
            for part, color in PARTS.items():
                value = 1000 * max(parts.get(part, 0.0), 0.0)
                axis.barh(place, value, left=left, color=color, height=0.7)
                left += value
        axis.set_yticks(range(len(letters)), letters)
        axis.invert_yaxis()
        axis.set_xlabel('ms a step')
        return _svg(figure)


def _svg(figure: Figure) -> str:
    width, height = figure.get_size_inches()
    figure.subplots_adjust(
        LEFT / width, BOTTOM / height, 1 - RIGHT / width, 1 - TOP / height
    )
    file = io.StringIO()
    figure.savefig(
        file,
        format='svg',
        transparent=True,
        metadata=dict(Date=None, Creator=None, Format=None, Type=None),
    )
    text = file.getvalue()
    text = text[text.index('<svg') :]
    # ids of groups are the same in every chart, and nothing refers to them
    text = re.sub(r'<g id="[^"]*"', '<g', text)
    text = re.sub(r'<metadata>.*?</metadata>', '', text, flags=re.S)
    head, body = text[: text.index('>')], text[text.index('>') :]
    # as wide as its place in the page
    return re.sub(r' (width|height)="[^"]*"', '', head) + body

"""Figures of several panels, and how they are written."""

import io
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kd_det.analysis.pictures import DPI
from kd_det.files import atomic_write

MAX_CLASSES = 10  # that colours can tell apart
SLANTED = dict(rotation=60, rotation_mode='anchor', ha='right', fontsize=7)


def grid(
    count: int, columns: int, size: tuple[float, float]
) -> tuple[Figure, list[Axes]]:
    """Return a figure and its panels.

    Args:
        count: Number of panels.
        columns: Maximum number of panels per row.
        size: Width and height of a panel in inches.
    """
    columns = min(count, columns)
    rows = math.ceil(count / columns)
    figure = Figure((size[0] * columns, size[1] * rows), dpi=DPI)
    panels = [*figure.subplots(rows, columns, squeeze=False).flat]
    for axis in panels[count:]:
        axis.remove()
    return figure, panels[:count]


def room(names: Iterable[str]) -> float:
    """Return the height of the longest name as a slanted label, in inches."""
    return 0.055 * max(map(len, names))


def frequent(labels: np.ndarray, count: int) -> list[int]:
    """Return the most frequent classes, at most ten, in rising order.

    Args:
        labels: Shape (N,).
        count: Number of classes.
    """
    counts = np.bincount(labels, minlength=count)
    most = np.sort(np.argsort(-counts, kind='stable')[:MAX_CLASSES])
    return [int(label) for label in most if counts[label]]


def save(
    figure: Figure, path: str | Path, legend_of: Axes | None = None
) -> None:
    """Write a figure as PNG, with a legend below all panels.

    Args:
        figure: The figure; it grows by the height of the legend.
        path: PNG file to write.
        legend_of: Panel whose labels are the legend; None: no legend.
    """
    bottom = 0.0
    if legend_of is not None:
        handles, names = legend_of.get_legend_handles_labels()
        width, height = figure.get_size_inches()
        columns = max(1, int(width / (0.5 + 0.08 * max(map(len, names)))))
        bottom = 0.1 + 0.2 * math.ceil(len(names) / columns)
        figure.set_size_inches(width, height + bottom)
        bottom /= height + bottom
        figure.legend(
            handles,
            names,
            loc='lower center',
            ncols=min(columns, len(names)),
            fontsize=8,
            frameon=False,
        )
    figure.tight_layout(rect=(0, bottom, 1, 1))
    write(figure, path)


def write(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG as it is.

    Args:
        figure: The figure.
        path: PNG file to write.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png')
    with atomic_write(path) as file:
        file.write(buffer.getvalue())

"""Plots of embeddings: retrieval results and projections."""

from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from torch import Tensor

from kd_det.analysis.panels import grid, save, write
from kd_det.analysis.pictures import DPI, RIGHT, WRONG

CELL = 1.1  # size of an image in inches


def nearest(embeddings: Tensor, queries: Tensor, count: int) -> Tensor:
    """Return the nearest neighbours of some rows, nearest first.

    Args:
        embeddings: Shape (N, D).
        queries: Indices (Q,) of rows; a row is not its own neighbour.
        count: Number of neighbours, below N.

    Returns:
        Indices (Q, count).
    """
    x = embeddings.double() - embeddings.double().mean(0)
    distances = torch.cdist(
        x[queries], x, compute_mode='donot_use_mm_for_euclid_dist'
    )
    distances[torch.arange(len(queries)), queries] = torch.inf
    return distances.topk(count, largest=False).indices


def project(embeddings: Tensor) -> Tensor:
    """Return the first two principal components (N, 2) of rows (N, D).

    The sign of each is chosen so that its largest entry is positive.
    """
    x = embeddings.double() - embeddings.double().mean(0)
    *_, axes = torch.linalg.svd(x, full_matrices=False)
    points = x @ axes[:2].T
    if points.shape[1] < 2:  # one-dimensional embeddings
        points = torch.cat([points, torch.zeros_like(points)], 1)
    largest = points.gather(0, points.abs().argmax(0)[None])
    return points * torch.where(largest < 0, -1.0, 1.0)


def draw_retrievals(
    path: str | Path, images: np.ndarray | list, labels: np.ndarray
) -> None:
    """Write a PNG with a query and its neighbours in each row.

    Neighbours of the query's class are framed in green, others in red.

    Args:
        path: PNG file to write.
        images: Rows of images (H, W, 3), uint8, RGB, with the query first.
        labels: Classes of the images (rows, columns).
    """
    rows, columns = np.shape(labels)
    figure = Figure((CELL * columns, CELL * rows + 0.3), dpi=DPI)
    axes = figure.subplots(rows, columns, squeeze=False)
    for row, (pictures, classes) in enumerate(zip(images, labels)):
        for column, (picture, label) in enumerate(zip(pictures, classes)):
            axis = axes[row, column]
            axis.imshow(picture, interpolation='nearest')
            axis.set_xticks([])
            axis.set_yticks([])
            right = label == classes[0]
            color = 'black' if column == 0 else RIGHT if right else WRONG
            for spine in axis.spines.values():
                spine.set_edgecolor(color)
                spine.set_linewidth(1 if column == 0 else 3)
    for column, axis in enumerate(axes[0]):
        axis.set_title(f'{column}' if column else 'query', fontsize=9)
    top = 0.28 / figure.get_figheight()
    figure.subplots_adjust(0.01, 0.01, 0.99, 1 - top, 0.08, 0.08)
    write(figure, path)


def draw_projection(
    path: str | Path,
    panels: dict[str, np.ndarray],
    labels: np.ndarray,
    names: list[str],
) -> None:
    """Write a PNG of 2-d scatter plots coloured by class, four per row.

    Args:
        path: PNG file to write.
        panels: Title -> points (N, 2).
        labels: Indices (N,) into ``names``.
        names: Class names for the legend.
    """
    size = (6, 5) if len(panels) == 1 else (3.6, 3.4)
    figure, axes = grid(len(panels), 4, size)
    colors = colormaps['tab20' if len(names) > 10 else 'tab10']
    for axis, (title, points) in zip(axes, panels.items()):
        for index, name in enumerate(names):
            own = points[labels == index]
            axis.scatter(
                *own.T, s=8, color=colors(index % colors.N), label=name, lw=0
            )
        axis.set_title(title, fontsize=9)
        axis.set_aspect('equal', 'datalim')
        axis.set_xlabel('first principal component')
        axis.set_ylabel('second principal component')
    save(figure, path, legend_of=axes[0])

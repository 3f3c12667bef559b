"""Statistics and plots of feature maps."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from kd_det.analysis.panels import SLANTED, frequent, grid, room, save
from kd_det.analysis.pictures import DPI
from kd_det.analysis.run_log import log_files

SHARE = 1e-3  # fraction of the largest contribution of an active channel


def contributions(feature_map: Tensor, gradient: Tensor) -> Tensor:
    r"""Return the contribution of each channel to the loss, (N, C).

    .. math:: c = \left| \sum_{hw} f_{hw}
        \frac{\partial L}{\partial f_{hw}} \right|

    Before global average pooling, this is the channel mean times the gradient
    with respect to the mean.

    Args:
        feature_map: Shape (N, C, H, W).
        gradient: Gradient of the loss with respect to the map.
    """
    return (feature_map * gradient).sum((2, 3)).abs()


def active(contribution: Tensor, share: float = SHARE) -> Tensor:
    """Return the mask of active channels, (C,).

    A channel is active if its mean contribution exceeds a fraction of the
    largest.

    Args:
        contribution: Mean contribution over samples, (C,).
        share: Fraction of the largest contribution.
    """
    return contribution > share * contribution.max()


def effective(contribution: Tensor) -> float:
    r"""Return the effective number of contributing channels.

    .. math:: \frac{(\sum_c c)^2}{\sum_c c^2}

    It is C if all channels contribute equally, and 1 if only one does.

    Args:
        contribution: Mean contribution over samples, (C,), non-negative.
    """
    squares = contribution.square().sum()
    if squares == 0:
        return 0.0
    return (contribution.sum().square() / squares).item()


def norm_table(norms: Tensor, labels: Tensor, names: list[str]) -> dict:
    """Return count, mean and standard deviation of the norms by class.

    Args:
        norms: Norms, shape (N,).
        labels: Shape (N,).
        names: Class names.
    """
    table = {}
    for label, name in enumerate(names):
        own = norms[labels == label].double()
        if len(own):
            table[name] = dict(
                count=len(own),
                mean=own.mean().item(),
                std=own.std(correction=0).item(),
            )
    return table


def read_curves(work_dir: str | Path) -> dict[str, list]:
    """Return the training and validation losses logged by a run.

    Args:
        work_dir: Work directory of an MMEngine run.

    Returns:
        ``train`` and ``eval``: lists of (epoch, loss). Training losses are the
        weighted task loss averaged over each epoch; validation losses are
        those logged by ``CrossEntropy``. Empty if nothing was logged.
    """
    train, evaluation = defaultdict(list), {}
    # in chronological order; a resumed run may repeat the last epoch
    for entries in log_files(work_dir):
        for entry in entries:
            loss = entry.get('loss_task', entry.get('loss'))
            if loss is not None and 'epoch' in entry:
                train[entry['epoch']].append(loss)
            if 'eval/cross_entropy' in entry:
                evaluation[entry['step']] = entry['eval/cross_entropy']
    return dict(
        train=[(epoch, float(np.mean(v))) for epoch, v in train.items()],
        eval=sorted(evaluation.items()),
    )


def draw_cka(
    path: str | Path, tables: dict[str, np.ndarray], names: list[str]
) -> None:
    """Write a PNG of matrices, two panels per row.

    Args:
        path: PNG file to write.
        tables: Title -> matrix (M, M).
        names: Names of the rows.
    """
    size = 0.8 + 0.5 * len(names) + room(names)
    figure, panels = grid(len(tables), 2, (size, size))
    for axis, (title, table) in zip(panels, tables.items()):
        axis.imshow(table, vmin=0, vmax=1, cmap='viridis')
        axis.set_title(title, fontsize=9)
        for row, values in enumerate(table):
            for column, value in enumerate(values):
                color = 'white' if value < 0.6 else 'black'
                axis.text(
                    column,
                    row,
                    f'{value:.2f}',
                    color=color,
                    ha='center',
                    va='center',
                    fontsize=7,
                )
        places = range(len(names))
        axis.set_xticks(places, names, **SLANTED)
        axis.set_yticks(places, names, fontsize=7)
    save(figure, path)


def draw_norms(
    path: str | Path,
    norms: dict[str, np.ndarray],
    labels: np.ndarray,
    names: list[str],
) -> None:
    """Write a PNG of histograms of norms by class, one panel per network.

    There are three panels per row, with the class names below.

    The ten most frequent classes are shown.

    Args:
        path: PNG file to write.
        norms: Title -> norms (N,).
        labels: Shape (N,).
        names: Class names.
    """
    shown = frequent(labels, len(names))
    figure, panels = grid(len(norms), 3, (4.2, 3.2))
    colors = colormaps['tab10']
    for axis, (title, values) in zip(panels, norms.items()):
        edges = np.histogram_bin_edges(values, 24)
        for place, label in enumerate(shown):
            axis.hist(
                values[labels == label],
                edges,
                histtype='step',
                color=colors(place),
                label=names[label],
            )
        axis.set_title(title, fontsize=9)
        axis.set_xlabel('norm')
        axis.set_ylabel('samples')
    save(figure, path, legend_of=panels[0])


def draw_active(path: str | Path, counts: dict[str, dict]) -> None:
    """Write a bar chart (PNG) of all, active and effective channels.

    Args:
        path: PNG file to write.
        counts: Title -> ``active``, ``of`` and ``effective``.
    """
    size = 1.5 + 0.7 * len(counts), 3.2 + room(counts)
    figure = Figure(size, dpi=DPI)
    axis = figure.subplots()
    places = np.arange(len(counts))
    values = {
        key: [entry[key] for entry in counts.values()]
        for key in ('of', 'active', 'effective')
    }
    axis.bar(places, values['of'], 0.85, color='#e4e4e4', label='all')
    for shift, key, color, digits in (
        (-0.2, 'active', '#3b6fb6', '%d'),
        (0.2, 'effective', '#d98b2b', '%.0f'),
    ):
        bars = axis.bar(
            places + shift, values[key], 0.4, color=color, label=key
        )
        axis.bar_label(bars, fmt=digits, fontsize=7)
    axis.set_ylabel('channels')
    axis.set_xticks(places, [*counts], **SLANTED)
    axis.margins(y=0.12)
    axis.legend(
        fontsize=7,
        frameon=False,
        ncols=3,
        loc='lower left',
        bbox_to_anchor=(0, 1),
    )
    save(figure, path)


def draw_curves(path: str | Path, runs: dict[str, dict[str, list]]) -> None:
    """Write a PNG of training and validation losses over epochs.

    Args:
        path: PNG file to write.
        runs: Title -> result of :func:`read_curves`.
    """
    figure, panels = grid(2, 2, (4.5, 3.4))
    for axis, key, title, what in (
        (panels[0], 'train', 'training', 'weighted task loss'),
        (panels[1], 'eval', 'evaluation', 'cross-entropy'),
    ):
        for name, curves in runs.items():
            # also without points, so that a run has the same colour in both
            epochs, losses = zip(*curves[key]) if curves[key] else ((), ())
            axis.plot(epochs, losses, '.-', label=name, lw=1.2, ms=4)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel('epoch')
        axis.set_ylabel(what)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    save(figure, path, legend_of=panels[0])


def box_means(
    feature_map: Tensor, boxes: Tensor, stride: tuple[float, float]
) -> Tensor:
    """Return the mean of a map over the cells in each box, (N, C).

    A box covers the cells whose centres are inside it, and the one at its own
    centre.

    Args:
        feature_map: Feature map of one image, (C, H, W).
        boxes: Corners (N, 4) in pixels: x1, y1, x2, y2.
        stride: Vertical and horizontal stride, in pixels.
    """
    _, height, width = feature_map.shape
    y = (torch.arange(height, device=boxes.device) + 0.5) * stride[0]
    x = (torch.arange(width, device=boxes.device) + 0.5) * stride[1]
    x1, y1, x2, y2 = boxes.T[..., None]
    rows = (y >= y1) & (y <= y2)
    columns = (x >= x1) & (x <= x2)
    middle = (y - (y1 + y2) / 2).abs().argmin(1, keepdim=True)
    rows |= torch.zeros_like(rows).scatter(1, middle, True)
    middle = (x - (x1 + x2) / 2).abs().argmin(1, keepdim=True)
    columns |= torch.zeros_like(columns).scatter(1, middle, True)
    rows, columns = (
        mask.to(feature_map.dtype) / mask.sum(1, keepdim=True)
        for mask in (rows, columns)
    )
    return torch.einsum('nh,chw,nw->nc', rows, feature_map, columns)

"""How far a student's classes are related as the teacher's are."""

from pathlib import Path

import torch
from torch import Tensor

from kd_det.analysis.panels import SLANTED, grid, room, save

MOST_NAMES = 20  # classes beside a matrix


def relation_gap(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Return how correlations of logits differ: student minus teacher, (K, K).

    A class whose logit never changes is correlated with none.

    Args:
        student_logits: Shape (N, K).
        teacher_logits: Shape (N, K).
    """
    return _correlations(student_logits) - _correlations(teacher_logits)


def relation_numbers(student_logits: Tensor, teacher_logits: Tensor) -> dict:
    """Return the size of the gap, and how alike the logits of images are.

    Args:
        student_logits: Shape (N, K).
        teacher_logits: Shape (N, K).

    Returns:
        ``mean_gap``: the mean absolute :func:`relation_gap` over pairs of
        different classes; ``pearson``: the mean over images of the correlation
        of the two networks' logits.
    """
    gap = relation_gap(student_logits, teacher_logits)
    classes = len(gap)
    own, other = (
        _unit(x.double(), 1) for x in (student_logits, teacher_logits)
    )
    return dict(
        mean_gap=(gap.abs().sum() / (classes * (classes - 1))).item(),
        pearson=(own * other).sum(1).mean().item(),
    )


def draw_relations(
    path: str | Path,
    gaps: dict[str, Tensor],
    numbers: dict[str, dict],
    names: list[str],
) -> None:
    """Write a PNG of a matrix per student, three per row.

    Args:
        path: PNG file to write.
        gaps: Title -> :func:`relation_gap`.
        numbers: Title -> :func:`relation_numbers`.
        names: Class names.
    """
    named = len(names) <= MOST_NAMES
    size = (3.6, 2.6 + (room(names) if named else 0))
    figure, panels = grid(len(gaps), 3, size)
    most = max(gap.abs().max().item() for gap in gaps.values()) or 1.0
    for axis, (title, gap) in zip(panels, gaps.items()):
        image = axis.imshow(gap.numpy(), vmin=-most, vmax=most, cmap='RdBu_r')
        bar = figure.colorbar(image, ax=axis, fraction=0.046, pad=0.04)
        bar.ax.tick_params(labelsize=7)
        mean = numbers[title]['mean_gap']
        axis.set_title(f'{title}: mean |gap| {mean:.3f}', fontsize=9)
        if named:
            axis.set_xticks(range(len(names)), names, **SLANTED)
            axis.set_yticks(range(len(names)), names, fontsize=7)
    save(figure, path)


def _correlations(logits: Tensor) -> Tensor:
    unit = _unit(logits.double(), 0)
    return unit.T @ unit


def _unit(x: Tensor, axis: int) -> Tensor:
    """Return centred vectors of length 1; constant ones become zero."""
    x = x - x.mean(axis, keepdim=True)
    return torch.nn.functional.normalize(x, dim=axis)

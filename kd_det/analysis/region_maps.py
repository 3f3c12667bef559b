"""Images whose parts a teacher takes for other classes than the whole."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kd_det.analysis.panels import grid, save
from kd_det.functional import sdd_weights

SIDES = (2, 4)  # cells per side; in the logits after the whole image
MOST = 8  # images drawn


def ambiguous(region_logits: Tensor, labels: Tensor) -> list[dict]:
    """Return the images in which a cell of 2 x 2 differs from the whole.

    Args:
        region_logits: The teacher's, shape (N, K, 21): the whole image, 2 x 2
            and 4 x 4 cells.
        labels: Shape (N,).

    Returns:
        ``sample``, its place in the batch, and ``complementary``, the numbers
        of cells with another predicted class than the image, of 4 and of 16;
        most first.
    """
    other = sdd_weights(region_logits, labels, 2, split='paper') > 1
    counts = torch.stack([other[:, 1:5].sum(1), other[:, 5:].sum(1)], 1)
    found = [
        dict(sample=sample, complementary=own)
        for sample, own in enumerate(counts.tolist())
        if own[0]
    ]
    return sorted(
        found, key=lambda entry: entry['complementary'], reverse=True
    )


def draw_regions(
    path: str | Path,
    images: list[np.ndarray],
    region_logits: Tensor,
    labels: list[int],
    names: list[str],
) -> None:
    """Write a PNG with three panels per image, two images per row.

    The panels are the image, and the probability of its label in 2 x 2 and in
    4 x 4 cells. Where a cell of 2 x 2 is taken for another class than the
    image, that class is written.

    Args:
        path: PNG file to write.
        images: RGB, uint8 (H, W, 3).
        region_logits: The teacher's, shape (M, K, 21).
        labels: Classes of the images.
        names: Class names.
    """
    figure, panels = grid(3 * len(images), 6, (1.7, 2.0))
    probabilities = region_logits.softmax(1)
    for place, (image, label) in enumerate(zip(images, labels)):
        axes = panels[3 * place : 3 * place + 3]
        classes = region_logits[place].argmax(0).tolist()
        axes[0].imshow(image, interpolation='nearest')
        text = f'{names[label]}\npredicted {names[classes[0]]}'
        axes[0].set_title(text, fontsize=7)
        first = 1
        for axis, side in zip(axes[1:], SIDES):
            last = first + side**2
            cells = probabilities[place, label, first:last].reshape(side, side)
            axis.imshow(cells.numpy(), vmin=0, vmax=1, cmap='viridis')
            axis.set_title(f'p({names[label]}), {side}×{side}', fontsize=7)
            # the finer cells have no room for names
            named = side == SIDES[0]
            for cell, own in enumerate(classes[first:last]):
                value = cells.flatten()[cell].item()
                text = f'{value:.2f}'.lstrip('0')
                if named and own != classes[0]:
                    text += f'\n{names[own]}'
                axis.text(
                    cell % side,
                    cell // side,
                    text,
                    ha='center',
                    va='center',
                    fontsize=6,
                    color='white' if value < 0.6 else 'black',
                )
            first = last
        for axis in axes:
            axis.set_axis_off()
    save(figure, path)

"""Draw the predictions of several detectors on the same images."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from PIL import Image
from torch import Tensor, nn

from kd_det.files import atomic_write

RIGHT, WRONG, TRUTH = '#0a8f3c', '#d62728', '#111111'
LEGEND = (
    (
        RIGHT,
        '-',
        'correct: class and position (IoU of at least 0.5) of an object',
    ),
    (WRONG, '-', 'wrong: different class or no object'),
    (TRUTH, ':', 'missed object'),
)
OVERLAP = 0.5  # IoU above which only the best box is drawn
CELL = 2.5  # size of an image in inches
DPI = 120


@dataclass(frozen=True)
class Boxes:
    """Objects of one image, annotated or predicted.

    Attributes:
        boxes: Corners (N, 4) in pixels: x1, y1, x2, y2.
        labels: Classes (N,).
        scores: Scores of predictions (N,), for ordering and thresholding.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None = None

    def best(self, threshold: float, overlap: float) -> 'Boxes':
        """Return predictions above a score, without overlapping boxes.

        Args:
            threshold: Minimum score.
            overlap: IoU above which only the best box is kept, whatever the
                classes.

        Returns:
            The predictions, best first.
        """
        kept = []
        ious = box_iou(self.boxes, self.boxes)
        for k in np.argsort(-self.scores, kind='stable'):
            if (
                self.scores[k] >= threshold
                and (ious[k, kept] <= overlap).all()
            ):
                kept.append(k)
        kept = np.array(kept, int)
        return Boxes(self.boxes[kept], self.labels[kept], self.scores[kept])


def draw_comparison(
    path: str | Path,
    images: list[np.ndarray],
    truth: list[Boxes],
    models: dict[str, list[Boxes]],
    classes: tuple[str, ...],
    threshold: float = 0.4,
    caption: str = '',
) -> None:
    """Write a PNG with one row per image: annotation, then each model.

    Predictions are coloured by correctness, and missed objects are dotted. Of
    overlapping boxes only the best is drawn.

    Args:
        path: PNG file to write.
        images: RGB, uint8 (H, W, 3).
        truth: Annotated objects of each image.
        models: Column title -> predictions for each image.
        classes: Class names.
        threshold: Minimum score to draw.
        caption: Caption below the picture.
    """
    rows, columns = len(images), 1 + len(models)
    width, height = CELL * columns, CELL * rows
    top, bottom = 0.5, 0.75  # inches, for titles, and for legend and caption
    figure = Figure((width, height + top + bottom), dpi=DPI)
    axes = figure.subplots(rows, columns, squeeze=False)
    for row, (image, objects) in enumerate(zip(images, truth, strict=True)):
        _show(axes[row, 0], image, objects, [TRUTH] * len(objects.labels))
        _name(axes[row, 0], objects, [TRUTH] * len(objects.labels), classes)
        for axis, predictions in zip(axes[row, 1:], models.values()):
            seen = predictions[row].best(threshold, OVERLAP)
            found = match(seen, objects)
            colors = [RIGHT if k >= 0 else WRONG for k in found]
            _show(axis, image, seen, colors)
            for k in set(range(len(objects.labels))) - set(found.tolist()):
                _frame(axis, objects.boxes[k], TRUTH, ':')
            _name(axis, seen, colors, classes)
    for axis, title in zip(axes[0], ('ground truth', *models)):
        axis.set_title(title, fontsize=11)
    total = height + top + bottom
    figure.subplots_adjust(
        left=0.005,
        right=0.995,
        bottom=bottom / total,
        top=1 - top / total,
        wspace=0.03,
        hspace=0.03,
    )
    figure.legend(
        handles=[
            Line2D([], [], color=color, linestyle=style, lw=2.2, label=text)
            for color, style, text in LEGEND
        ],
        loc='upper center',
        bbox_to_anchor=(0.5, (bottom - 0.05) / total),
        ncols=len(LEGEND),
        fontsize=9,
        frameon=False,
    )
    figure.text(0.5, 0.12 / total, caption, ha='center', fontsize=9)
    _save(figure, path)


def draw_truth(
    path: str | Path,
    images: list[np.ndarray],
    truth: list[Boxes],
    classes: tuple[str, ...],
    columns: int = 4,
) -> None:
    """Write a PNG of annotated images in a grid.

    Args:
        path: PNG file to write.
        images: RGB, uint8 (H, W, 3).
        truth: Objects of the images.
        classes: Class names.
        columns: Number of images per row.
    """
    rows = -(-len(images) // columns)
    figure = Figure((CELL * columns, CELL * rows), dpi=DPI)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, image, objects in zip(axes, images, truth):
        colors = [RIGHT] * len(objects.labels)
        _show(axis, image, objects, colors)
        _name(axis, objects, colors, classes)
    figure.subplots_adjust(0.005, 0.005, 0.995, 0.995, 0.03, 0.03)
    _save(figure, path)


def match(predictions: Boxes, truth: Boxes, iou: float = 0.5) -> np.ndarray:
    """Match predictions to objects; -1 means no match.

    Args:
        predictions: Predictions, best first.
        truth: Annotated objects.
        iou: Minimum IoU with an object of the same class.

    Returns:
        Indices (N,) into ``truth``, each used at most once.
    """
    overlaps = box_iou(predictions.boxes, truth.boxes)
    overlaps[predictions.labels[:, None] != truth.labels[None]] = 0
    found = np.full(len(predictions.labels), -1)
    for index in range(len(found)):
        free = np.setdiff1d(np.arange(len(truth.labels)), found)
        if len(free) == 0:
            break
        best = free[overlaps[index, free].argmax()]
        if overlaps[index, best] >= iou:
            found[index] = best
    return found


def box_iou(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the IoU (N, M) of boxes (N, 4) and (M, 4)."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    inter = np.clip(high - low, 0, None).prod(2)
    areas = [(b[:, 2:] - b[:, :2]).prod(1) for b in (one, other)]
    union = areas[0][:, None] + areas[1][None] - inter
    return inter / np.maximum(union, 1e-9)


def swaps(preprocessor: nn.Module) -> bool:
    """Return whether a preprocessor swaps BGR and RGB."""
    other = getattr(preprocessor, '_channel_conversion', False)
    return bool(getattr(preprocessor, 'to_rgb', other))


def rgb(inputs: Tensor, swapped: bool) -> np.ndarray:
    """Return an image before its preprocessor as RGB, uint8 (H, W, 3).

    Args:
        inputs: Shape (3, H, W) or (1, H, W), values from 0 to 255.
        swapped: Whether the preprocessor swaps BGR and RGB.
    """
    pixels = inputs.permute(1, 2, 0).clamp(0, 255).byte().cpu().numpy()
    if pixels.shape[2] == 1:
        return pixels.repeat(3, 2)
    return np.ascontiguousarray(pixels[..., ::-1] if swapped else pixels)


def _show(axis, image: np.ndarray, seen: Boxes, colors: list[str]) -> None:
    pale = 255 - (255 - image.astype(np.float32)) * 0.75  # boxes stand out
    axis.imshow(pale.astype(np.uint8), interpolation='nearest')
    axis.set_axis_off()
    for box, color in zip(seen.boxes, colors):
        _frame(axis, box, color, '-')


def _frame(axis, box: np.ndarray, color: str, style: str) -> None:
    x1, y1, x2, y2 = box - 0.5  # imshow centres pixel 0 on 0
    axis.add_patch(
        Rectangle(
            (x1, y1),
            x2 - x1,
            y2 - y1,
            fill=False,
            edgecolor=color,
            linestyle=style,
            linewidth=1.8,
        )
    )


def _name(
    axis, seen: Boxes, colors: list[str], classes: tuple[str, ...]
) -> None:
    height, width = axis.get_images()[0].get_array().shape[:2]
    # best last, so that it is drawn on top
    for k in reversed(range(len(seen.labels))):
        text = classes[seen.labels[k]]
        if seen.scores is not None:
            text += f' {seen.scores[k]:.1f}'.replace('0.', '.')
        left, top, right, _ = seen.boxes[k] - 0.5
        inside, flush_right = top < 0.07 * height, left > 0.75 * width
        axis.text(
            min(right, width) if flush_right else max(left, 0),
            max(top, 0),
            text,
            color='white',
            fontsize=7.5,
            ha='right' if flush_right else 'left',
            va='top' if inside else 'bottom',
            clip_on=True,
            bbox=dict(facecolor=colors[k], edgecolor='none', pad=0.8),
        )


def _save(figure: Figure, path: str | Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png')
    # a palette makes the file several times smaller
    picture = Image.open(buffer).convert('RGB').quantize(256)
    with atomic_write(path) as file:
        picture.save(file, format='png', optimize=True)

"""Where networks look: the spatial attention of their feature maps."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor
from torch.nn import functional as F

from kd_det.analysis.panels import write
from kd_det.analysis.pictures import DPI

CELL = 1.4  # height of an image in inches
TOP = 0.35  # of the titles
GAP = 0.04  # between images, of a height


def attention(feature_map: Tensor) -> Tensor:
    r"""Return the spatial attention of a map (C, H, W): (H, W), at most 1.

    .. math:: a_{hw} = \sum_c f_{chw}^2 / \max_{hw} \sum_c f_{chw}^2

    Up to a factor, it is what AT compares, see
    :func:`kd_det.functional.attention_transfer_loss`.

    Args:
        feature_map: Shape (C, H, W).
    """
    energy = feature_map.double().square().mean(0)
    return energy / energy.max().clamp(min=1e-300)


def alike(attention: Tensor, other: Tensor) -> float:
    """Return the cosine of two attention maps, of the smaller size.

    Args:
        attention: Shape (H, W).
        other: Shape (H', W').
    """
    size = [min(pair) for pair in zip(attention.shape, other.shape)]
    one, two = (
        F.adaptive_avg_pool2d(x[None], size).flatten()
        for x in (attention, other)
    )
    return F.cosine_similarity(one, two, dim=0).item()


def draw_attention(
    path: str | Path,
    images: list[np.ndarray],
    maps: list[dict[str, Tensor]],
    sizes: list[tuple[int, int]],
) -> None:
    """Write a PNG with a row per image: the image, then each attention map.

    Args:
        path: PNG file to write.
        images: RGB, uint8 (H, W, 3).
        maps: Title -> attention map, for each image.
        sizes: Height and width in pixels that the maps cover, with the
            padding that the images lack.
    """
    titles = ['image', *maps[0]]
    ratio = np.mean([image.shape[1] / image.shape[0] for image in images])
    # in one panel, since many take long to make
    across = (ratio + GAP) * len(titles) - GAP
    down = (1 + GAP) * len(images) - GAP
    size = CELL * across, CELL * down + TOP
    figure = Figure(size, dpi=DPI)
    axis = figure.add_axes((0.0, 0.0, 1.0, CELL * down / size[1]))
    for row, (image, shown) in enumerate(zip(images, maps)):
        height, width = image.shape[:2]
        scale = min(1 / height, ratio / width)
        top = row * (1 + GAP)
        arrays = [image, *(values.numpy() for values in shown.values())]
        for column, values in enumerate(arrays):
            left = column * (ratio + GAP)
            high, wide = sizes[row] if column else (height, width)
            drawn = axis.imshow(
                values,
                cmap='inferno',
                interpolation='bilinear' if column else 'nearest',
                extent=(left, left + wide * scale, top + high * scale, top),
            )
            frame = (left, top), width * scale, height * scale
            drawn.set_clip_path(Rectangle(*frame, transform=axis.transData))
    for column, title in enumerate(titles):
        axis.text(
            column * (ratio + GAP) + ratio / 2,
            -0.03,
            title.replace(' ', '\n', 1),
            ha='center',
            va='bottom',
            fontsize=7,
        )
    axis.set_xlim(0, across)
    axis.set_ylim(down, 0)
    axis.set_aspect('auto')
    axis.set_axis_off()
    write(figure, path)

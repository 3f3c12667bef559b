"""Where networks look: the spatial attention of their feature maps."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from kd_det.analysis.panels import write
from kd_det.analysis.pictures import DPI

CELL = 1.4  # height of an image in inches
TOP = 0.35  # of the titles


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
    columns, rows = 1 + len(maps[0]), len(images)
    ratio = np.mean([image.shape[1] / image.shape[0] for image in images])
    width, height = CELL * ratio * columns, CELL * rows + TOP
    figure = Figure((width, height), dpi=DPI)
    axes = figure.subplots(rows, columns, squeeze=False)
    for own, image, shown, (bottom, right) in zip(axes, images, maps, sizes):
        own[0].imshow(image, interpolation='nearest')
        for axis, values in zip(own[1:], shown.values()):
            axis.imshow(
                values.numpy(),
                cmap='inferno',
                interpolation='bilinear',
                extent=(-0.5, right - 0.5, bottom - 0.5, -0.5),
            )
            axis.set_xlim(own[0].get_xlim())
            axis.set_ylim(own[0].get_ylim())
        for axis in own:
            axis.set_axis_off()
    for axis, title in zip(axes[0], ('image', *maps[0])):
        axis.set_title(title.replace(' ', '\n', 1), fontsize=7)
    figure.subplots_adjust(0.01, 0.01, 0.99, 1 - TOP / height, 0.04, 0.04)
    write(figure, path)

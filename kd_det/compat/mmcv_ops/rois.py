"""Checks of RoIs, so that pooling does not read out of bounds."""

import torch
from torch import Tensor

from kd_det.functional._common import holds

FAR = 1e6  # pixels, outside any feature map


def check_images(rois: Tensor, batch: int) -> None:
    """Raise for RoIs with an image index outside the batch.

    On a GPU this is a device-side assertion, without synchronisation.

    Args:
        rois: (R, 5), image index, x1, y1, x2, y2.
        batch: Number of images.

    Raises:
        ValueError: An index is NaN, negative, or ``batch`` or more.
    """
    images = rois[:, 0]
    fits = (images >= 0) & (images < batch)
    if not holds(fits, 'rois have an image index outside the batch'):
        wrong = images[~fits][0].item()
        raise ValueError(
            f'rois have the image index {wrong:g}, but the batch has {batch} '
            'image(s): the first column of rois must be the index of the '
            'image in the batch, starting at 0'
        )


def within_reach(rois: Tensor) -> Tensor:
    """Replace RoIs with NaN or a corner beyond ``FAR``.

    They become points far outside the map, where pooling reads 0.
    """
    corners = rois[:, 1:]
    near = (corners.abs() <= FAR).all(1, keepdim=True)
    return torch.cat((rois[:, :1], corners.where(near, -FAR)), 1)

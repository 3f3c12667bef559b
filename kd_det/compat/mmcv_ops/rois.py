"""Regions of interest (RoIs) from which pooling reads no foreign memory."""

import torch
from torch import Tensor

from kd_det.functional._common import holds

FAR = 1e6  # pixels, further away than any map reaches


def check_images(rois: Tensor, batch: int) -> None:
    """Refuse RoIs of an image that the batch lacks.

    On a GPU it is asserted there, without waiting for the answer.

    Args:
        rois: (R, 5), index in the batch, x1, y1, x2, y2.
        batch: The number of images.

    Raises:
        ValueError: An index is NaN, negative, or ``batch`` or more.
    """
    images = rois[:, 0]
    fits = (images >= 0) & (images < batch)
    if not holds(fits, 'rois have an image index outside the batch'):
        wrong = images[~fits][0].item()
        raise ValueError(
            f'rois have the image index {wrong:g} and the batch '
            f'has {batch} image(s): the first column of rois must be the '
            "image's place in the batch, counted from 0"
        )


def within_reach(rois: Tensor) -> Tensor:
    """Return the RoIs, those with a NaN or a corner beyond ``FAR`` moved.

    They become points far outside the map, where all pooling reads 0.
    """
    corners = rois[:, 1:]
    near = (corners.abs() <= FAR).all(1, keepdim=True)
    return torch.cat((rois[:, :1], corners.where(near, -FAR)), 1)

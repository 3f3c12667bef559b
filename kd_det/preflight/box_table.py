"""BoxTable: the boxes of a detection data set as columns."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class BoxTable:
    """N boxes in I images, as stored in a file.

    Attributes:
        path: The annotation file.
        files: File names of the images.
        sizes: Width and height of each image, (I, 2).
        ids: Ids of the boxes.
        owner_ids: The image id stored with each box.
        owners: Index of that image, -1 if there is none, (N,).
        category_ids: The category id stored with each box.
        boxes: Left, top, width and height, (N, 4).
        areas: Areas stored in the file, (N,).
        crowd: Whether a box is an ignore region, neither object nor
            background, (N,).
        left_out: Whether the file marks a box as unused, (N,).
        masked: Whether a box has a segmentation, (N,).
        wanted: The expected box format, for messages.
        elsewhere: What to do about missing images, for messages.
    """

    wanted = 'MMDetection wants [left, top, width, height] in pixels'
    elsewhere = (
        "set data_prefix=dict(img='FOLDER/') of the data set, or copy them "
        'there.'
    )

    path: str
    files: list[str]
    sizes: np.ndarray
    ids: list
    owner_ids: list
    owners: np.ndarray
    category_ids: list
    boxes: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray
    left_out: np.ndarray
    masked: np.ndarray

    def where(self, index: int) -> str:
        """Return a description of a box for a message.

        Args:
            index: Index of the box.
        """
        box = ', '.join(f'{number:.6g}' for number in self.boxes[index])
        owner = self.owners[index]
        if owner < 0:
            place = f'of image {self.owner_ids[index]!r}, not in images'
        else:
            width, height = self.sizes[owner]
            place = (
                f'in an image of {width:g}x{height:g} pixels, '
                f'{self.files[owner]!r}'
            )
        return f'[{box}] {place} (annotation {self.ids[index]!r})'

    def room(self) -> np.ndarray:
        """Return each box's image size, or 0 if it has no image, (N, 2)."""
        sizes = np.append(self.sizes, np.zeros((1, 2)), axis=0)
        return sizes[self.owners]

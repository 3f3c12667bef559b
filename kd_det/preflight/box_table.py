"""BoxTable: the boxes of a detection data set as columns."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class BoxTable:
    """N boxes in I images, as a file has them.

    Attributes:
        path: The annotation file.
        files: Names of the images' files.
        sizes: Width and height of each image, (I, 2).
        ids: Of the boxes.
        owner_ids: What each says that its image is.
        owners: Index of that image, -1 where there is none, (N,).
        category_ids: What each says that its class is.
        boxes: Left, top, width and height, (N, 4).
        areas: As the file states them, (N,).
        crowd: Whether a box is to be ignored: neither object nor
            background, (N,).
        left_out: Whether the file says to leave a box out, (N,).
        masked: Whether there is a segmentation, (N,).
        wanted: How boxes are to be written, for messages.
        elsewhere: What to do where images are missing.
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
        """Return how to name a box in a message.

        Args:
            index: Of the box.
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
        """Return each box's image size, or 0 where it has none, (N, 2)."""
        sizes = np.append(self.sizes, np.zeros((1, 2)), axis=0)
        return sizes[self.owners]

"""What a run predicts on its validation images, beside what is true."""

import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from kd_det.errors import UserError
from kd_det.files import atomic_write

FILE = 'predictions.npz'


class Predictions:
    """What both kinds share: equal truth, and a file without pickles."""

    truth: tuple[str, ...]  # the fields that two runs must share

    def save(self, path: str | Path) -> None:
        """Write an ``.npz``."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        with atomic_write(path) as file:
            np.savez_compressed(file, kind=type(self).__name__, **arrays)

    def same_truth(self, other: 'Predictions') -> bool:
        """Return whether images, classes and truth are equal."""
        return type(self) is type(other) and all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in self.truth
        )


@dataclass(frozen=True)
class BoxPredictions(Predictions):
    """Boxes of a detector; I images, K classes, P predicted, G true boxes.

    Attributes:
        classes: Names, (K,).
        image_ids: Of the data set, ascending, (I,).
        images: Index of the image of each predicted box, (P,).
        labels: Index of its class, (P,).
        scores: Its confidence, (P,).
        boxes: x1, y1, x2, y2 in pixels of the original image, (P, 4).
        true_images: Index of the image of each true box, (G,).
        true_labels: Index of its class, (G,).
        true_boxes: x1, y1, width, height in pixels, as COCO has them,
            (G, 4).
        true_areas: In square pixels, as the annotations state them, (G,).
        crowds: Whether it surrounds a crowd, (G,).
    """

    classes: np.ndarray
    image_ids: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    true_images: np.ndarray
    true_labels: np.ndarray
    true_boxes: np.ndarray
    true_areas: np.ndarray
    crowds: np.ndarray

    truth = (
        'classes',
        'image_ids',
        'true_images',
        'true_labels',
        'true_boxes',
        'true_areas',
        'crowds',
    )

    @property
    def num_images(self) -> int:
        """The number of validation images."""
        return len(self.image_ids)


@dataclass(frozen=True)
class ClassPredictions(Predictions):
    """Classes of a classifier; I images, K classes.

    Attributes:
        classes: Names, (K,).
        labels: Index of the class predicted first, (I,).
        true_labels: Index of the true class, (I,).
    """

    classes: np.ndarray
    labels: np.ndarray
    true_labels: np.ndarray

    truth = ('classes', 'true_labels')

    @property
    def num_images(self) -> int:
        """The number of validation images."""
        return len(self.true_labels)


def load_predictions(path: str | Path) -> Predictions:
    """Read what :meth:`Predictions.save` wrote; no pickle is executed.

    Raises:
        FileNotFoundError: No such file.
        UserError: It is no such file, or damaged.
    """
    kinds = (BoxPredictions, ClassPredictions)
    by_name = {kind.__name__: kind for kind in kinds}
    try:
        with np.load(path, allow_pickle=False) as file:
            kind = by_name[str(file['kind'])]
            return kind(**{f.name: file[f.name] for f in fields(kind)})
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as e:
        if isinstance(e, FileNotFoundError):
            raise
        raise UserError(
            f'{str(path)!r} cannot be read as the predictions of a run '
            f'({e}); train again, or evaluate another run.'
        ) from None

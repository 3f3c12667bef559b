"""Predictions of a run on its validation images, with ground truth."""

import zipfile
import zlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from kd_det.errors import UserError
from kd_det.files import atomic_write

FILE = 'predictions.npz'
DTYPES = {  # accepted values of an array, and NumPy's dtype kinds
    'strings': 'U',
    'strings or integers': 'Uiu',
    'integers': 'iu',
    'finite numbers': 'iuf',
    'booleans': 'b',
}


@dataclass(frozen=True)
class Layout:
    """Expected shape and values of an array in a file.

    Attributes:
        axes: A letter for each size shared with other arrays, or a number.
        values: A key of ``DTYPES``.
        below: Letter of the size that its integers index.
    """

    axes: tuple[str | int, ...]
    values: str
    below: str | None = None


CLASSES = Layout(('K',), 'strings')
UNREADABLE = (
    ValueError,
    KeyError,
    OSError,
    EOFError,
    MemoryError,  # wrong size in a damaged header
    RuntimeError,  # damaged flags: encryption, compression
    zipfile.BadZipFile,
    zlib.error,
)


class Predictions:
    """Base of stored predictions: files without pickles."""

    truth: tuple[str, ...]  # fields that must be equal in two runs
    layouts: dict[str, Layout]  # one per field

    def save(self, path: str | Path) -> None:
        """Write an ``.npz``."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        with atomic_write(path) as file:
            np.savez_compressed(file, kind=type(self).__name__, **arrays)

    def same_truth(self, other: 'Predictions') -> bool:
        """Return whether images, classes and ground truth are equal."""
        return type(self) is type(other) and all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in self.truth
        )


@dataclass(frozen=True)
class BoxPredictions(Predictions):
    """Boxes of a detector; I images, K classes, P predicted, G true boxes.

    Attributes:
        classes: Class names, (K,).
        image_ids: Image ids of the data set, ascending, (I,).
        images: Index of the image of each predicted box, (P,).
        labels: Class index of each predicted box, (P,).
        scores: Confidence of each predicted box, (P,).
        boxes: x1, y1, x2, y2 in pixels of the original image, (P, 4).
        true_images: Index of the image of each true box, (G,).
        true_labels: Class index of each true box, (G,).
        true_boxes: x1, y1, width, height in pixels, as in COCO, (G, 4).
        true_areas: Annotated areas in square pixels, (G,).
        crowds: Whether a true box surrounds a crowd, (G,).
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
    layouts = dict(
        classes=CLASSES,
        image_ids=Layout(('I',), 'strings or integers'),
        images=Layout(('P',), 'integers', below='I'),
        labels=Layout(('P',), 'integers', below='K'),
        scores=Layout(('P',), 'finite numbers'),
        boxes=Layout(('P', 4), 'finite numbers'),
        true_images=Layout(('G',), 'integers', below='I'),
        true_labels=Layout(('G',), 'integers', below='K'),
        true_boxes=Layout(('G', 4), 'finite numbers'),
        true_areas=Layout(('G',), 'finite numbers'),
        crowds=Layout(('G',), 'booleans'),
    )

    @property
    def num_images(self) -> int:
        """The number of validation images."""
        return len(self.image_ids)


@dataclass(frozen=True)
class ClassPredictions(Predictions):
    """Classes of a classifier; I images, K classes.

    Attributes:
        classes: Class names, (K,).
        labels: Index of the top-1 class, (I,).
        true_labels: Index of the true class, (I,).
    """

    classes: np.ndarray
    labels: np.ndarray
    true_labels: np.ndarray

    truth = ('classes', 'true_labels')
    layouts = dict(
        classes=CLASSES,
        labels=Layout(('I',), 'integers', below='K'),
        true_labels=Layout(('I',), 'integers', below='K'),
    )

    @property
    def num_images(self) -> int:
        """The number of validation images."""
        return len(self.true_labels)


def load_predictions(path: str | Path) -> Predictions:
    """Read a file of :meth:`Predictions.save`, without executing pickles.

    Raises:
        FileNotFoundError: The file does not exist.
        UserError: It is another file, damaged, or its arrays do not match.
    """
    kinds = (BoxPredictions, ClassPredictions)
    by_name = {kind.__name__: kind for kind in kinds}
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise ValueError('a single array instead of an .npz')
        with file:
            kind = by_name[str(file['kind'])]
            arrays = {f.name: np.asarray(file[f.name]) for f in fields(kind)}
        _check(arrays, kind.layouts)
    except FileNotFoundError:
        raise
    except UNREADABLE as error:
        raise UserError(
            f'{str(path)!r} cannot be read as the predictions of a run '
            f'({error}); train again, or use another run.'
        ) from None
    return kind(**arrays)


def _check(arrays: dict[str, np.ndarray], layouts: dict[str, Layout]) -> None:
    """Raise a ValueError unless every array matches its layout."""
    sizes: dict[str, int] = {}  # of each letter, from its first occurrence
    for name, array in arrays.items():
        layout = layouts[name]
        if array.ndim == len(layout.axes):
            for axis, size in zip(layout.axes, array.shape):
                if isinstance(axis, str):
                    sizes.setdefault(axis, size)
        expected = tuple(sizes.get(axis, axis) for axis in layout.axes)
        if array.shape != expected:
            accepted = str(expected).replace("'", '')
            raise ValueError(
                f'{name} has the shape {array.shape}, where {accepted} is '
                'accepted'
            )
        if not array.size and 'P' not in layout.axes:
            raise ValueError(f'{name} is empty, where 1 or more is accepted')
    for name, array in arrays.items():
        _check_values(name, array, layouts[name], sizes)


def _check_values(
    name: str, array: np.ndarray, layout: Layout, sizes: dict[str, int]
) -> None:
    if array.dtype.kind not in DTYPES[layout.values]:
        raise ValueError(
            f'{name} has values of type {array.dtype}, where '
            f'{layout.values} are accepted'
        )
    if layout.values == 'finite numbers':
        strange = array[~np.isfinite(array)]
        end = ''
    elif layout.below:
        size = sizes[layout.below]
        strange = array[(array < 0) | (array >= size)]
        end = f' from 0 to {size - 1}'
    else:
        return
    if len(strange):
        raise ValueError(
            f'{name} has the value {strange[0]}, where {layout.values}{end} '
            'are accepted'
        )

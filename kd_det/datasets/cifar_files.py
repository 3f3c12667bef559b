"""Read the files of CIFAR-10 and CIFAR-100 (python version) safely.

The files are pickles, which can call any function by name. The few names that
they need are replaced by safe stand-ins here; any other name is rejected.
"""

import io
import os.path as osp
import pickle
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kd_det.errors import UserError, few

PAGE = 'https://www.cs.toronto.edu/~kriz/cifar.html'
SIDE = 32
WIDTH = 3 * SIDE * SIDE  # bytes of an image: red, then green, then blue
_FIX = f'get the python version again from {PAGE}'


class Layout(NamedTuple):
    """File and key names of a data set.

    Attributes:
        name: Name of the data set, for messages.
        root: Folder in which the configs expect ``folder``.
        folder: Folder of the official archive.
        train: Files of the training split, in order.
        test: Files of the test split.
        meta: File with the class names.
        label_key: Key of the labels in an image file.
        names_key: Key of the class names in ``meta``.
        num_classes: Number of classes.
    """

    name: str
    root: str
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    meta: str
    label_key: str
    names_key: str
    num_classes: int


CIFAR10_LAYOUT = Layout(
    'CIFAR-10',
    'data/cifar10',
    'cifar-10-batches-py',
    tuple(f'data_batch_{number}' for number in range(1, 6)),
    ('test_batch',),
    'batches.meta',
    'labels',
    'label_names',
    10,
)
CIFAR100_LAYOUT = Layout(
    'CIFAR-100',
    'data/cifar100',
    'cifar-100-python',
    ('train',),
    ('test',),
    'meta',
    'fine_labels',
    'fine_label_names',
    100,
)


def split_files(root: str | Path, layout: Layout, split: str) -> list[str]:
    """Return the paths of a split's files after checking that they exist.

    Args:
        root: Folder that contains ``layout.folder``.
        layout: Layout of the data set.
        split: ``'train'`` or ``'test'``.

    Raises:
        UserError: The split is unknown.
        FileNotFoundError: A file is missing.
    """
    if split not in ('train', 'test'):
        raise UserError(
            f"{layout.name} has no split {split!r}; accepted are 'train' and "
            "'test'."
        )
    names = getattr(layout, split)
    paths = [osp.join(root, layout.folder, name) for name in names]
    for path in paths:
        if not osp.isfile(path):
            sheets = (
                ' (tools/convert_cifar_sheets.py writes it from sheets)'
                if layout is CIFAR10_LAYOUT
                else ''
            )
            raise FileNotFoundError(
                f'There is no {layout.name} file {path!r}; it belongs in '
                f'{osp.join(layout.root, layout.folder)}: unpack the python '
                f'version of {PAGE} in {layout.root}{sheets}, or set '
                f'data_root to the folder that contains {layout.folder}.'
            )
    return paths


def read_split(
    root: str | Path, layout: Layout, split: str
) -> tuple[np.ndarray, np.ndarray]:
    """Read the images and labels of a split.

    Args:
        root: Folder that contains ``layout.folder``.
        layout: Layout of the data set.
        split: ``'train'`` or ``'test'``.

    Returns:
        Images (N, 32, 32, 3), uint8, RGB; labels (N,), int64.

    Raises:
        UserError: The split is unknown, or a file is damaged, could run code,
            or has wrong shapes or labels.
        FileNotFoundError: A file is missing.
    """
    parts = [
        _read_batch(path, layout) for path in split_files(root, layout, split)
    ]
    rows = np.concatenate([rows for rows, _ in parts])
    images = rows.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    labels = np.concatenate([labels for _, labels in parts])
    return np.ascontiguousarray(images), labels


def read_class_names(
    root: str | Path, layout: Layout
) -> tuple[str, ...] | None:
    """Return the class names in label order, or None if there is no file.

    Raises:
        UserError: The file is damaged, could run code, or contains no names.
    """
    path = osp.join(root, layout.folder, layout.meta)
    if not osp.isfile(path):
        return None
    names = read_pickle(path).get(layout.names_key)
    if not isinstance(names, list) or not all(
        isinstance(name, (str, bytes)) for name in names
    ):
        raise UserError(
            f'CIFAR file {path!r} has {layout.names_key}={names!r:.80}; a '
            f'list of names is needed: {_FIX}.'
        )
    return tuple(_text(name) for name in names)


def _read_batch(path: str, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    table = read_pickle(path)
    rows, labels = table.get('data'), table.get(layout.label_key)
    if not isinstance(rows, np.ndarray) or not isinstance(labels, list):
        # in one line, whatever a key is
        names = [' '.join(str(key).split())[:40] for key in table]
        entries = few(names) or 'nothing'
        raise UserError(
            f'CIFAR file {path!r} has {entries}; an array data and a list '
            f'{layout.label_key} are needed: {_FIX}.'
        )
    if rows.ndim != 2 or rows.shape[1] != WIDTH or len(rows) != len(labels):
        raise UserError(
            f'CIFAR file {path!r} has data of shape {rows.shape} and '
            f'{len(labels)} labels; (N, {WIDTH}) and N are needed: {_FIX}.'
        )
    for label in labels:
        if type(label) is not int or not 0 <= label < layout.num_classes:
            raise UserError(
                f'CIFAR file {path!r} has the label {label!r:.80}; integers '
                f'from 0 to {layout.num_classes - 1} are accepted: {_FIX}.'
            )
    return rows, np.array(labels, dtype=np.int64)


def read_pickle(path: str | Path) -> dict:
    """Read a pickled dict of plain values and byte arrays safely.

    Returns:
        The dict, with string keys.

    Raises:
        UserError: The file is damaged, not a dict, or contains anything else.
    """
    path = str(path)
    try:
        file = _Lines(Path(path).read_bytes())
        # the official files were written by Python 2: strings are bytes
        table = _Reader(file, encoding='bytes').load()
        table = {_text(key): _value(item) for key, item in table.items()}
    except _ForeignName as error:
        raise UserError(
            f'CIFAR file {path!r} asks for {str(error)[:80]!r}, which could '
            f'run code; {_FIX}.'
        ) from None
    except Exception as error:  # damaged bytes raise anything
        raise UserError(
            f'CIFAR file {path!r} of {osp.getsize(path)} bytes is not a '
            f'CIFAR file ({type(error).__name__}: {str(error)[:80]!r}); '
            f'{_FIX}.'
        ) from None
    return table


def _text(key: str | bytes) -> str:
    return key.decode() if isinstance(key, bytes) else key


def _value(item):
    return item.value if isinstance(item, _Array) else item


class _ForeignName(pickle.UnpicklingError):
    pass


class _Lines(io.BytesIO):
    def readline(self) -> bytes:
        line = super().readline()
        if not line.endswith(b'\n'):
            raise pickle.UnpicklingError('pickle data was truncated')
        return line


def _load_bytearray(reader: '_Reader') -> None:
    """Read no more than there is; Python's own allocates what is stated."""
    (size,) = struct.unpack('<Q', reader.read(8))
    reader.append(bytearray(reader.read(size)))


class _Reader(pickle._Unpickler):  # C's allocates what damaged numbers say
    dispatch = {
        **pickle._Unpickler.dispatch,
        pickle.BYTEARRAY8[0]: _load_bytearray,
    }

    def find_class(self, module: str, name: str):
        # NumPy 2 uses numpy._core
        full = f'{module}.{name}'.replace('numpy._core.', 'numpy.core.')
        if full not in _STAND_INS:
            raise _ForeignName(full)
        return _STAND_INS[full]


class _Array:
    """Stand-in for the reconstruction of a NumPy array of bytes."""

    value = None

    def __init__(self, *_) -> None:
        pass  # the array type, always a plain array

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, content = state
        self.fill(content, dtype, shape, 'F' if fortran else 'C')

    def fill(
        self, content: bytes, dtype: '_Dtype', shape: tuple, order: str
    ) -> '_Array':
        if not isinstance(dtype, _Dtype) or dtype.code != 'u1':
            raise ValueError('an array of another dtype than bytes')
        flat = np.frombuffer(content, dtype=np.uint8)
        self.value = flat.reshape(shape, order=order)
        return self


class _Dtype:
    def __init__(self, code: str | bytes, *_) -> None:
        self.code = _text(code)

    def __setstate__(self, state: tuple) -> None:
        pass  # byte order etc., irrelevant for bytes


def _from_buffer(content, dtype, shape, order) -> _Array:  # protocol 5
    return _Array().fill(content, dtype, shape, order)


def _encode(text: str, *_) -> bytes:  # bytes, in protocol 2 of Python 3
    return text.encode('latin1')


_STAND_INS = {
    'numpy.core.multiarray._reconstruct': _Array,
    'numpy.core.numeric._frombuffer': _from_buffer,
    'numpy.ndarray': _Array,
    'numpy.dtype': _Dtype,
    '_codecs.encode': _encode,
}

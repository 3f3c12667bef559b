"""Convert CIFAR-10 from sheets to the layout of its official archive.

The sheets are a few lossless WebP images and an ``index.json``. A sheet
contains up to ``per_sheet`` images, ``per_row`` per row. For each split, the
index has the sheets in order, the ``count`` of images, their labels, and the
SHA-256 of all images (N, 32, 32, 3) followed by all labels as little-endian
64-bit integers.
"""

import argparse
import hashlib
import json
import os.path as osp
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from kd_det.datasets.cifar_files import CIFAR10_LAYOUT, SIDE, WIDTH
from kd_det.errors import UserError
from kd_det.files import atomic_write

_ENTRIES = {'count', 'sheets', 'labels', 'sha256'}


def read_sheets(
    folder: str | Path, split: str
) -> tuple[np.ndarray, np.ndarray]:
    """Read one split and check it against the SHA-256 in the index.

    Args:
        folder: Holds ``index.json`` and the sheets.
        split: ``'train'`` or ``'test'``.

    Returns:
        Images (N, 32, 32, 3), uint8, RGB; labels (N,), int64.

    Raises:
        FileNotFoundError: The index or a sheet is missing.
        UserError: The index is invalid, a sheet is damaged or has the wrong
            size, or the SHA-256 differs.
    """
    index = _read_index(folder)
    splits = index['splits']
    if split not in splits:
        raise UserError(
            f'Sheets {str(folder)!r} have no split {split!r}; accepted are '
            f'{", ".join(splits)}.'
        )
    entry = splits[split]
    parts = [
        _cut(osp.join(folder, osp.basename(name)), index)
        for name in entry['sheets']
    ]
    empty = np.empty((0, SIDE, SIDE, 3), np.uint8)
    images = np.concatenate([empty, *parts])[: entry['count']]
    labels = np.array(entry['labels'], dtype='<i8')
    digest = hashlib.sha256(images.tobytes())
    digest.update(labels.tobytes())
    if digest.hexdigest() != entry['sha256']:
        raise UserError(
            f'Sheets {str(folder)!r} are damaged: the {split} split has '
            f'sha256 {digest.hexdigest()[:12]}…, the index says '
            f'{entry["sha256"][:12]}…; copy them again.'
        )
    if len(images) != len(labels):
        raise UserError(
            f'Sheets {str(folder)!r} show {len(images)} {split} images and '
            f'the index has {len(labels)} labels; copy them again.'
        )
    return images, labels.astype(np.int64)


def convert_sheets(folder: str | Path, out: str | Path) -> Path:
    """Convert the sheets to the layout of the official CIFAR-10 archive.

    The output is deterministic but not identical to the official files, since
    the images are in the order of the sheets. Existing files are replaced
    atomically.

    Args:
        folder: Holds ``index.json`` and the sheets of both splits.
        out: Output folder for ``cifar-10-batches-py``, the ``data_root`` of
            configs.

    Returns:
        The folder with the batches.

    Raises:
        FileNotFoundError: The index or a sheet is missing.
        UserError: See :func:`read_sheets`; or there are not ten classes.
    """
    layout = CIFAR10_LAYOUT
    names = _read_index(folder)['classes']
    if len(names) != layout.num_classes:
        raise UserError(
            f'Sheets {str(folder)!r} have {len(names)} classes; only '
            f'{layout.name} with {layout.num_classes} is converted.'
        )
    target = Path(out) / layout.folder
    for files in (layout.train, layout.test):
        split = 'train' if files is layout.train else 'test'
        images, labels = read_sheets(folder, split)
        rows = images.transpose(0, 3, 1, 2).reshape(len(images), WIDTH)
        for number, (file, part, label) in enumerate(
            zip(
                files,
                np.array_split(rows, len(files)),
                np.array_split(labels, len(files)),
            ),
            start=1,
        ):
            _dump(
                target / file,
                dict(
                    batch_label=f'{split}ing batch {number} of {len(files)}',
                    labels=label.tolist(),
                    data=np.ascontiguousarray(part),
                ),
            )
    _dump(target / layout.meta, dict(label_names=names, num_vis=WIDTH))
    return target


def _dump(path: Path, table: dict) -> None:
    with atomic_write(path) as file:
        pickle.dump(table, file, protocol=4)


def _read_index(folder: str | Path) -> dict:
    path = osp.join(folder, 'index.json')
    if not osp.isfile(path):
        raise FileNotFoundError(
            f'There is no {path!r}; give the folder of the sheets and their '
            'index.json.'
        )
    try:
        with open(path, encoding='utf-8') as file:
            index = json.load(file)
        whole = index['side'] == SIDE and len(index['classes']) > 0
        whole = whole and min(index['per_row'], index['per_sheet']) > 0
        whole = whole and len(index['splits']) > 0
        for entry in index['splits'].values():
            whole = whole and entry.keys() >= _ENTRIES
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise UserError(
            f'{path!r} is no index of CIFAR sheets; it needs side={SIDE}, '
            'per_row, per_sheet, classes, and splits with '
            f'{", ".join(sorted(_ENTRIES))}.'
        )
    return index


def _cut(path: str, index: dict) -> np.ndarray:
    """Return the images of a sheet (N, 32, 32, 3), padded with black ones."""
    if not osp.isfile(path):
        raise FileNotFoundError(
            f'There is no sheet {path!r}; copy the whole folder.'
        )
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert('RGB'))
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(
            f'Sheet {path!r} cannot be read ({error}); copy it again.'
        ) from None
    height, width, _ = pixels.shape
    per_row = index['per_row']
    if height % SIDE or width != per_row * SIDE:
        raise UserError(
            f'Sheet {path!r} has {width} x {height} pixels; {per_row} images '
            f'of {SIDE} pixels to a row are needed.'
        )
    grid = pixels.reshape(-1, SIDE, per_row, SIDE, 3)
    images = grid.transpose(0, 2, 1, 3, 4).reshape(-1, SIDE, SIDE, 3)
    return images[: index['per_sheet']]


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('sheets', help='folder with index.json and the sheets')
    parser.add_argument('out', help='output folder, e.g. data/cifar10')
    return parser.parse_args(argv)


if __name__ == '__main__':
    args = parse_args()
    try:
        print(convert_sheets(args.sheets, args.out))
    except (UserError, FileNotFoundError) as error:
        # Not run_tool, since no framework is needed to create data.
        print(f'error: {error}', file=sys.stderr)
        sys.exit(2)

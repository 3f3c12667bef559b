"""A COCO json as columns of checked types."""

import json
import os.path as osp
import sys
from collections.abc import Collection
from dataclasses import dataclass
from numbers import Real

import numpy as np

from kd_det.errors import UserError
from kd_det.preflight.box_table import BoxTable

# the keys that MMDetection reads from a COCO json
NEEDED = {
    'images': ('id', 'file_name', 'height', 'width'),
    'annotations': ('id', 'image_id', 'category_id', 'bbox', 'area'),
    'categories': ('id', 'name'),
}
MAX = sys.float_info.max
# for two entries with the same id: the key that tells them apart, the fix
TWICE = dict(
    images=(
        'file_name',
        'so the boxes of both would be assigned to the second; give each its '
        'own id, and the same image_id to its annotations',
    ),
    annotations=(
        'image_id',
        'so the first would be lost; renumber the annotations from 1',
    ),
    categories=(
        'name',
        'so their objects would become one class; give each its own id, and '
        'the same category_id to its annotations',
    ),
)


@dataclass(frozen=True)
class CocoTable(BoxTable):
    """The boxes of a COCO json.

    Attributes:
        image_ids: Ids of the images.
        names: Id -> name of the categories in the file.
    """

    image_ids: list
    names: dict


def read_coco(path: str, split: str) -> CocoTable:
    """Read the columns of a COCO json.

    Args:
        path: The annotation file.
        split: Which loader reads it, for messages.

    Raises:
        FileNotFoundError: The file does not exist.
        UserError: It is not a COCO json; a value has the wrong type; an id
            occurs twice; annotations do not refer to images by their ids.
    """
    if not osp.isfile(path):
        raise FileNotFoundError(
            f'There is no {split} annotation file {path!r}; set data_root '
            '(--cfg-options data_root=FOLDER) to a folder that holds it.'
        )
    images, boxes, categories = _read(path)
    for part, columns in zip(NEEDED, (images, boxes, categories)):
        _check_ids(part, columns, path)
    _check_texts(images, categories, path)
    sides = [_numbers(images, k, 'image', path) for k in ('width', 'height')]
    return CocoTable(
        path=path,
        files=images['file_name'],
        image_ids=images['id'],
        sizes=np.stack(sides, axis=1),
        names=dict(zip(categories['id'], categories['name'])),
        ids=boxes['id'],
        owner_ids=boxes['image_id'],
        owners=find(boxes['image_id'], images['id'], 'image', path),
        category_ids=boxes['category_id'],
        boxes=_numbers(boxes, 'bbox', 'annotation', path, 4),
        areas=_numbers(boxes, 'area', 'annotation', path),
        crowd=_flags(boxes, 'iscrowd', path),
        left_out=_flags(boxes, 'ignore', path),
        masked=np.array([bool(s) for s in boxes['segmentation']], bool),
    )


def _read(path: str) -> list[dict[str, list]]:
    """Return the needed columns of each part."""
    try:
        with open(path) as file:
            table = json.load(file)
        if not isinstance(table, dict):
            raise TypeError(f'it holds a {type(table).__name__}')
        table.setdefault('annotations', [])
        columns = [
            {key: [entry[key] for entry in table[part]] for key in keys}
            for part, keys in NEEDED.items()
        ]
        for key in ('iscrowd', 'ignore', 'segmentation'):
            entries = table['annotations']
            columns[1][key] = [entry.get(key, 0) for entry in entries]
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        needed = '; '.join(
            f'{part} with {", ".join(keys)}' for part, keys in NEEDED.items()
        )
        raise UserError(
            f'Annotation file {path!r} is not COCO json '
            f'({type(error).__name__}({error})); it '
            f'needs {needed}.'
        ) from None
    return columns


def _check_ids(part: str, columns: dict[str, list], path: str) -> None:
    """Raise unless the ids of a part's entries are valid and unique."""
    ids = columns['id']
    kinds = {*map(type, ids)}
    for kind in kinds:
        if not issubclass(kind, (str, Real)):
            index = [*map(type, ids)].index(kind)
            raise UserError(
                f'Entry {index} of "{part}" of {path!r} has the id '
                f'{ids[index]!r}; a whole number is accepted.'
            )
    # NumPy would convert all of them to text, and find no number
    if str in kinds and len(kinds) > 1 and part != 'annotations':
        raise UserError(
            f'Some ids of "{part}" of {path!r} are text and some are '
            'numbers; write all of them, and what refers to them, as whole '
            'numbers.'
        )
    if len({*ids}) == len(ids):
        return
    seen: dict = {}
    what, fix = TWICE[part]
    for key, name in zip(ids, columns[what]):
        if key in seen:
            raise UserError(
                f'Two {part} of {path!r} have the id {key!r} ({what} '
                f'{seen[key]!r} and {name!r}), {fix}.'
            )
        seen[key] = name


def _check_texts(
    images: dict[str, list], categories: dict[str, list], path: str
) -> None:
    for key, name in zip(images['id'], images['file_name']):
        if not isinstance(name, str):
            raise UserError(
                f'Image {key!r} of {path!r} has the file_name {name!r}; a '
                'file path, as text, is accepted.'
            )
    for key, name in zip(categories['id'], categories['name']):
        if isinstance(name, bool) or not isinstance(name, (str, Real)):
            raise UserError(
                f'Category {key!r} of {path!r} has the name {name!r}; a text '
                'is accepted.'
            )


def _numbers(
    columns: dict[str, list],
    key: str,
    noun: str,
    path: str,
    width: int | None = None,
) -> np.ndarray:
    """Return a column as numbers, (N,) or (N, width)."""
    values = columns[key]
    shape = (len(values),) if width is None else (len(values), width)
    if not values:
        return np.zeros(shape)
    try:
        array = np.array(values)
    except ValueError:  # lists of different lengths
        array = np.array(None)
    if array.dtype.kind in 'biuf' and array.shape == shape:
        return array.astype(float)
    odd = [i for i, v in enumerate(values) if not _is_number(v, width)]
    if not odd:  # very large integers
        return np.array(values, float)
    accepted = 'a number' if width is None else f'a list of {width} numbers'
    raise UserError(
        f'In {len(odd)} of the {len(values)} {noun}s of {path!r} {key} is not '
        f'{accepted}, the first {values[odd[0]]!r} ({noun} '
        f'{columns["id"][odd[0]]!r}); correct it, or take the entry out.'
    )


def _flags(columns: dict[str, list], key: str, path: str) -> np.ndarray:
    """Return a column of 0 and 1 as booleans, (N,)."""
    values = _numbers(columns, key, 'annotation', path)
    odd = np.flatnonzero(~np.isin(values, (0, 1)))
    if len(odd):
        raise UserError(
            f'In {len(odd)} of the {len(values)} annotations of {path!r} '
            f'{key} is not 0 or 1, the first {columns[key][odd[0]]!r} '
            f'(annotation {columns["id"][odd[0]]!r}); correct it.'
        )
    return values == 1


def _is_number(value: object, width: int | None) -> bool:
    if width is None:
        return isinstance(value, Real) and not abs(value) > MAX
    return (
        isinstance(value, list)
        and len(value) == width
        and all(_is_number(number, None) for number in value)
    )


def find(wanted: list, ids: Collection, noun: str, path: str) -> np.ndarray:
    """Return the index in ``ids`` of each reference, or -1, (N,).

    Args:
        wanted: Ids that the annotations refer to.
        ids: Ids of the entries referred to.
        noun: Name of such an entry, for messages.
        path: The file, for messages.

    Raises:
        UserError: A reference is not an id, or all would match if written
            differently.
    """
    place = {key: index for index, key in enumerate(ids)}
    try:
        found = np.array([place.get(key, -1) for key in wanted], int)
    except TypeError:
        key = next(k for k in wanted if isinstance(k, (list, dict)))
        raise UserError(
            f'An annotation of {path!r} has {noun}_id={key!r}; the id of one '
            f'{noun} is accepted.'
        ) from None
    lost = found < 0
    reason = _why_lost({*wanted}, place) if lost.any() else ''
    if reason:
        raise UserError(
            f'{noun}_id of {lost.sum()} of the {len(found)} annotations of '
            f'{path!r} is not the id of any {noun}: {reason}.'
        )
    return found


def _why_lost(used: set, ids: dict) -> str:
    """Return how the references should be written, or ''."""
    known = {str(key): key for key in ids}
    for key in used.difference(ids):
        if str(key) in known:
            return (
                f'{key!r} is not {known[str(key)]!r}; write both as whole '
                'numbers'
            )
    if not all(isinstance(key, Real) for key in (*used, *ids)):
        return ''
    for step, word in ((1, 'less'), (-1, 'more')):
        from_zero = used if step == 1 else ids
        from_one = ids if step == 1 else used
        if (
            0 in from_zero
            and 0 not in from_one
            and all(key + step in ids for key in used)
        ):
            return (
                f'each is one {word} than an id; count both from the same '
                'number'
            )
    return ''

"""Check that the boxes of a data set are plausible as they are read."""

import numpy as np

from kd_det.errors import UserError
from kd_det.preflight.box_table import BoxTable

SLACK = 1.0  # pixels that a box may extend beyond its image, for rounding
FEW = 3  # boxes; fewer are no evidence
ODD = 0.01  # of the boxes
SUSPECT = 0.05
MOST = 0.5
AREAS = 0.9
# converters of four numbers (a, b, c, d) to left, top, width, height
READINGS = {
    'left, top, right, bottom': lambda a, b, c, d: (a, b, c - a, d - b),
    'centre x, centre y, width, height': lambda a, b, c, d: (
        a - c / 2,
        b - d / 2,
        c,
        d,
    ),
    'top, left, bottom, right': lambda a, b, c, d: (b, a, d - b, c - a),
    'left, right, top, bottom': lambda a, b, c, d: (a, c, b - a, d - c),
    'top, left, height, width': lambda a, b, c, d: (b, a, d, c),
}


def overhang(boxes: np.ndarray, room: np.ndarray) -> np.ndarray:
    """Return by how many pixels boxes extend beyond their images, (N,).

    Args:
        boxes: Boxes as left, top, width and height, (N, 4).
        room: Width and height of their images, (N, 2).
    """
    ends = boxes[:, :2] + boxes[:, 2:]
    return np.concatenate([-boxes[:, :2], ends - room], axis=1).max(1)


def check_boxes(table: BoxTable, ours: np.ndarray) -> None:
    """Raise if boxes are implausible as they are read.

    Args:
        table: The boxes.
        ours: Mask of boxes of the classes in images of the file, (N,).

    Raises:
        UserError: A number is not finite; boxes are fractions of the image;
            all but a few fit their images only in another format; most extend
            beyond them; a size is negative, or too often 0.
    """
    finite = np.isfinite(table.boxes).all(axis=1)
    _refuse(table, ~finite, 'a number that is not finite')
    fractions = ((table.boxes >= 0) & (table.boxes <= 1)).all(axis=1)
    fractions &= (table.boxes[:, 2:] > 0).all(axis=1) & ours
    if fractions.sum() > ODD * ours.sum():
        _refuse(
            table,
            fractions,
            'four numbers from 0 to 1',
            'multiply them by the size of the image',
        )
    _check_reading(table, ours)
    sides = table.boxes[:, 2:].min(axis=1)
    _refuse(table, sides < 0, 'a width or height below 0')
    if (sides == 0).sum() > ODD * len(sides):
        _refuse(table, sides == 0, 'a width or height of 0')


def _refuse(
    table: BoxTable,
    wrong: np.ndarray,
    what: str,
    fix: str = 'correct them, or take them out',
) -> None:
    """Raise if a box is wrong."""
    if wrong.any():
        raise UserError(
            f'{share(wrong)} boxes of {table.path!r} have {what}, the first '
            f'{table.where(first(wrong))}; {table.wanted}: {fix}.'
        )


def _check_reading(table: BoxTable, ours: np.ndarray) -> None:
    boxes, room = table.boxes[ours], table.room()[ours]
    outside = overhang(boxes, room) > SLACK
    odd = outside | (boxes[:, 2:] < 0).any(axis=1)
    many = odd.sum() >= FEW
    name = _by_area(boxes, table.areas[ours])
    reason = 'their areas match that'
    if not name and many and odd.mean() > SUSPECT:
        name = _by_place(boxes, room)
        reason = 'as such, they lie in their images'
    if not name and not (many and outside.mean() > MOST):
        return
    places = np.flatnonzero(ours)
    example = places[first(odd)] if odd.any() else places[0]
    seem = f'seem to be [{name}] ({reason})' if name else 'are implausible'
    raise UserError(
        f'The boxes of {table.path!r} {seem}: as they are read, '
        f'{share(outside)} extend beyond their images, such as '
        f'{table.where(example)}; {table.wanted} of the image file: convert '
        'them' + ('.' if name else ', or correct the sizes of the images.')
    )


def _by_place(boxes: np.ndarray, room: np.ndarray) -> str:
    """Return the box format in which the boxes fit their images, or ''."""
    for name, reading in READINGS.items():
        read = np.stack(reading(*boxes.T), axis=1)
        inside = (overhang(read, room) <= SLACK) & (read[:, 2:] > 0).all(1)
        if inside.mean() >= 1 - ODD:
            return name
    return ''


def _by_area(boxes: np.ndarray, areas: np.ndarray) -> str:
    """Return the box format that agrees with the stored areas, or ''."""
    left, top, right, bottom = boxes.T
    name = 'left, top, right, bottom'
    corners = np.isclose((right - left) * (bottom - top), areas, rtol=0.01)
    sizes = np.isclose(right * bottom, areas, rtol=0.01)
    proven = len(boxes) >= FEW and (corners & ~sizes).mean() >= AREAS
    return name if proven else ''


def first(mask: np.ndarray) -> int:
    """Return the index of the first true value."""
    return int(np.flatnonzero(mask)[0])


def share(mask: np.ndarray) -> str:
    """Return ``'3 of the 12'``."""
    return f'{mask.sum():,} of the {len(mask):,}'

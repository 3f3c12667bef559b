"""Are the images of a data set there, and as large as its file says?"""

import os
import os.path as osp
import unicodedata

import mmcv
import numpy as np
from PIL import Image

from kd_det.errors import UserError
from kd_det.preflight.box_table import BoxTable
from kd_det.preflight.boxes import SLACK, overhang
from kd_det.preflight.data_report import DataReport

LOOKED_AT = 512  # images, evenly spread; so many again among suspects
ODD = 0.01  # of them: below it, wrong sizes are only told
# what Pillow raises at files that OpenCV may still read
UNREAD = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
ORIENTATION = 0x0112  # the EXIF tag
TURNED = (5, 6, 7, 8)  # its values that swap width and height
UPRIGHT = ('turbojpeg', 'tifffile')  # decoders that ignore it
STORED = dict(color_type='color_ignore_orientation')  # loads it unturned


def check_images(table: BoxTable, leaf: dict, report: DataReport) -> None:
    """Check the images of a data set that lie on this disk.

    Args:
        table: Files, sizes and boxes.
        leaf: The config of the data set.
        report: Receives counts and warnings.

    Raises:
        FileNotFoundError: An image is missing.
        UserError: Some cannot be read, or have another size.
    """
    prefix = (leaf.get('data_prefix') or {}).get('img', '')
    folder = osp.join(leaf.get('data_root') or '', prefix)
    if '://' in folder or leaf.get('backend_args'):
        return
    check_there(folder, table.files, table.path, table.elsewhere)
    report.images = {osp.join(folder, file) for file in table.files}
    loader = loader_of(leaf.get('pipeline'))
    if loader is None:
        return
    beyond = overhang(table.boxes, table.room()) > SLACK
    suspects = np.unique(table.owners[beyond & (table.owners >= 0)])
    count, warnings = check_sizes(
        folder, table.files, table.sizes, suspects, loader, table.path
    )
    report.facts['images looked at'] = count
    report.warnings += warnings


def check_readable(folder: str, names: list[str]) -> int:
    """Stop if one of some images, evenly spread, is none.

    Args:
        folder: Where they are.
        names: Paths in it.

    Returns:
        How many were looked at.

    Raises:
        UserError: Naming an image that cannot be read.
    """
    chosen = _spread(len(names))
    for index in chosen:
        read_size(osp.join(folder, names[index]), STORED)
    return len(chosen)


def check_there(folder: str, names: list[str], path: str, fix: str) -> None:
    """Stop if images that an annotation file names are not there.

    Args:
        folder: Where they should be.
        names: Paths in it.
        path: The annotation file, for the message.
        fix: What to do where nothing better is known.

    Raises:
        FileNotFoundError: At least one is missing.
    """
    folders = {osp.dirname(name) for name in names}
    # one look into each folder, not one for each image
    there = {part: _files(osp.join(folder, part)) for part in folders}
    absent = [
        name
        for name in names
        if osp.basename(name) not in there[osp.dirname(name)]
    ]
    if not absent:
        return
    raise FileNotFoundError(
        f'{len(absent)} of the {len(names)} images of {path!r} are not in '
        f'{folder!r}, the first is {absent[0]!r}; '
        + (_where(folder, absent[0], there) or fix)
    )


def _files(folder: str) -> set[str]:
    return {*os.listdir(folder)} if osp.isdir(folder) else set()


def _where(folder: str, name: str, there: dict[str, set[str]]) -> str:
    """Return what may bring a missing image to light, or ''."""
    if '\\' in name:
        return 'write its path with /, as all systems read it.'
    file = osp.basename(name)
    if file != name and osp.isfile(osp.join(folder, file)):
        return f'{file!r} is there: take the folder out of its name.'
    for other in there[osp.dirname(name)]:
        if _alike(other) == _alike(file):
            return f'{other!r} is there: write its name the same.'
    return ''


def _alike(name: str) -> str:
    """Return a name without what systems change: case, form of accents."""
    return unicodedata.normalize('NFC', name).casefold()


def loader_of(pipeline: list[dict] | None) -> dict | None:
    """Return the step of a pipeline that reads an image file, or None.

    Args:
        pipeline: Of a data set.
    """
    for step in pipeline or ():
        if str(step.get('type')).endswith('LoadImageFromFile'):
            return step
    return None


def read_size(path: str, loader: dict) -> tuple[int, int]:
    """Return width and height of an image as a pipeline loads it.

    Only the head of the file is read, unless its format is unusual.

    Args:
        path: The file.
        loader: See :func:`loader_of`.

    Raises:
        UserError: It is no image.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(ORIENTATION) in TURNED
    except UNREAD:
        height, width = _decode(path).shape[:2]
        return width, height
    upright = loader.get(
        'imdecode_backend'
    ) in UPRIGHT or 'ignore_orientation' in str(loader.get('color_type'))
    return (height, width) if turned and not upright else (width, height)


def _decode(path: str) -> np.ndarray:
    try:
        image = mmcv.imread(path, backend='cv2')
    except Exception:  # noqa: BLE001  a damaged file raises anything
        image = None
    if image is None:
        raise UserError(
            f'The image {path!r} cannot be read, since it is no image or '
            'damaged; copy it again, or take it out of the data set.'
        )
    return image


def check_sizes(
    folder: str,
    files: list[str],
    sizes: np.ndarray,
    suspects: np.ndarray,
    loader: dict,
    path: str,
) -> tuple[int, list[str]]:
    """Compare the size of some images with what the annotations say.

    Args:
        folder: Where they are.
        files: Their paths in it.
        sizes: Width and height by the annotations, (I, 2).
        suspects: Indices of images that are more likely to be wrong.
        loader: See :func:`loader_of`.
        path: The annotation file, for messages.

    Returns:
        How many were looked at, and warnings.

    Raises:
        UserError: An image cannot be read, or more than one in a hundred
            has another size.
    """
    chosen = {*_spread(len(files)).tolist()}
    chosen |= {*suspects[_spread(len(suspects))].tolist()}
    wrong = []
    for index in sorted(chosen):
        size = read_size(osp.join(folder, files[index]), loader)
        if size != tuple(sizes[index]):
            wrong.append((index, size))
    if not wrong:
        return len(chosen), []
    index, size = wrong[0]
    stated = tuple(sizes[index].tolist())
    loaded = f'{size[0]}x{size[1]}'
    text = (
        f'{len(wrong)} of the {len(chosen)} images looked at have another '
        f'size than {path!r} says, the first {files[index]!r}: {loaded} '
        f'pixels as it is loaded, {stated[0]:g}x{stated[1]:g} by the file'
    )
    as_stored = read_size(osp.join(folder, files[index]), STORED)
    fix = 'write the width and height of the images, and boxes that fit them'
    if as_stored == stated:
        fix = (
            'its EXIF data turn it: write width and height as loaded, and '
            'boxes in the turned image, or turn the files for good'
        )
    if len(wrong) > ODD * len(chosen):
        raise UserError(f'{text}; {fix}.')
    return len(chosen), [f'{text}; {fix}.']


def _spread(count: int) -> np.ndarray:
    """Return up to ``LOOKED_AT`` indices, evenly spread."""
    return np.unique(np.linspace(0, count - 1, LOOKED_AT).astype(int))[
        : max(count, 0)
    ]
